"""Scene and slices in the browser: the right way round, where the geometry says, and moved by what moves them."""

import io
import time

import numpy as np
import pytest
import torch
from cockpits import pose_of
from matplotlib.image import imread

from raygrad._cockpit import _moves as moves
from raygrad._cockpit._frame import mesh_frame


def until(condition, seconds=10.0):
    """Wait for what the server does after the page asked."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "It did not happen."
        time.sleep(0.02)


def middle(locator):
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.fixture
def scene(browser_page, until):
    """The scene, drawn."""
    view = browser_page.locator(".scene-view")
    view.locator("canvas").wait_for()
    until(lambda: view.locator("canvas").evaluate("canvas => canvas.width") > 300)
    browser_page.wait_for_timeout(300)
    return view


def share_drawn(view):
    """How much of a picture is not its ground."""
    picture = imread(io.BytesIO(view.screenshot()))[..., :3]
    return float((np.abs(picture - picture[5, 5]).max(-1) > 0.05).mean())


def test_the_scene_is_drawn_and_turns(browser_page, scene, picture):
    assert share_drawn(scene) > 0.05
    before = scene.screenshot()
    scene.focus()
    browser_page.keyboard.press("ArrowLeft")
    browser_page.wait_for_timeout(200)
    assert scene.screenshot() != before
    browser_page.get_by_role("button", name="Front", exact=True).click()
    browser_page.wait_for_timeout(200)
    assert share_drawn(scene) > 0.2
    picture(browser_page, "front")


def test_it_rests_while_nothing_changes(browser_page, scene):
    """No frames are drawn in a loop."""
    browser_page.wait_for_timeout(2500)  # until surfaces are there
    drawn = browser_page.evaluate("""async () => {
        const prototype = WebGL2RenderingContext.prototype;
        let calls = 0;
        for (const name of ["drawElements", "drawArrays"]) {
            const own = prototype[name];
            prototype[name] = function (...given) { calls++; return own.apply(this, given); };
        }
        await new Promise((done) => setTimeout(done, 500));
        return calls;
    }""")
    assert drawn == 0


def test_surfaces_of_skin_and_bone_come_by_themselves(cockpit, browser_page, scene):
    until(lambda: {"surface skin", "surface bone"} <= cockpit.session._kept.keys())
    frame = cockpit.session._kept["surface bone"]
    assert 1000 < (frame.array.size - 3 * frame.header["vertices"]) / 3 <= 60_000
    browser_page.get_by_text("What is shown").click()
    browser_page.get_by_label("HU at which bone begins").fill("700")
    browser_page.keyboard.press("Enter")
    until(lambda: cockpit.session._kept["surface bone"].header["level"] == 700)


PROJECTED = """async ({ state, voxels }) => {
    const three = await import("/vendor/three/three.module.min.js");
    const { Beam } = await import("/scene/beam.js");
    const { matrixOf } = await import("/scene/geometry.js");
    return state.views.map((view, number) => {
        const beam = new Beam(number);
        beam.place(state.placement.cameras[number], view.intrinsics);
        beam.updateMatrixWorld(true);
        return voxels.map((voxel) => {
            const point = new three.Vector3(...voxel)
                .applyMatrix4(matrixOf(state.slices.voxel_to_world)).applyMatrix4(matrixOf(state.placement.bodies.CT));
            const along = point.sub(beam.source.position).normalize();
            const [hit] = new three.Raycaster(beam.source.position, along).intersectObject(beam.detector, false);
            return [hit.uv.x * view.intrinsics.width, (1 - hit.uv.y) * view.intrinsics.height];
        });
    });
}"""


def test_a_voxel_is_on_the_detector_where_the_projection_says(cockpit, browser_page):
    """The scene's source, patient and picture, through three's own matrices, against `perspective_projection`."""
    session, volume = cockpit.session, cockpit.session.subject.volume
    voxels = [[30, 64, 20], [90, 40, 50], [64, 100, 33], [64, 64, 33]]
    session.place(session.placement.moved(pose_of((12.0, -7.0, 9.0, 15.0, -10.0, 20.0)), "CT"))
    pixels = browser_page.evaluate(PROJECTED, {"state": session.state(), "voxels": voxels})
    in_world = (
        torch.tensor(voxels, dtype=torch.float64) @ volume.voxel_to_world[:3, :3].T + volume.voxel_to_world[:3, 3]
    )
    for view, xray in enumerate(session.xrays):
        drr = xray.view.make_drr(session.subject)
        expected = drr.perspective_projection(session.placement.pose(view).to(torch.float32), in_world[None].float())
        assert np.abs(np.array(pixels[view]) - expected[0].numpy()).max() < 0.02


# --- slices


def test_keys_and_wheel_go_through_the_slices(cockpit, browser_page, picture):
    axial = browser_page.get_by_role("application", name="axial slice")
    x, y, z = cockpit.session.slices.indices
    axial.focus()
    browser_page.keyboard.press("ArrowUp")
    until(lambda: cockpit.session.slices.indices == (x, y, z + 1))
    browser_page.keyboard.press("PageDown")
    until(lambda: cockpit.session.slices.indices == (x, y, z - 9))
    browser_page.mouse.move(*middle(browser_page.get_by_role("application", name="coronal slice")))
    browser_page.mouse.wheel(0, 100)
    until(lambda: cockpit.session.slices.indices == (x, y - 1, z - 9))
    slider = browser_page.get_by_role("slider", name="sagittal slice")
    slider.fill("20")
    until(lambda: cockpit.session.slices.indices == (20, y - 1, z - 9))
    picture(browser_page, "slices")


def place_of(view, shape, spacing, columns, rows):
    """Where pixel (u, v) of a slice is on the page: mm are as long each way."""
    box = view.bounding_box()
    size = shape[columns] * spacing[columns], shape[rows] * spacing[rows]
    scale = min(box["width"] / size[0], box["height"] / size[1])
    left = box["x"] + (box["width"] - scale * size[0]) / 2
    top = box["y"] + (box["height"] - scale * size[1]) / 2
    return lambda u, v: (left + u * scale * spacing[columns], top + v * scale * spacing[rows])


def test_the_crosshair_goes_with_the_pointer(cockpit, browser_page):
    session = cockpit.session
    shape, spacing = session.subject.volume.spatial_shape, session.subject.volume.spacing
    view = browser_page.get_by_role("application", name="sagittal slice")
    at = place_of(view, shape, spacing, 1, 2)
    x, *_ = session.slices.indices
    browser_page.mouse.move(*at(shape[1] / 2, shape[2] / 2))
    browser_page.mouse.down()
    browser_page.mouse.move(*at(shape[1] - 0.5 - 30, shape[2] - 0.5 - 20), steps=5)
    browser_page.mouse.up()
    until(lambda: session.slices.indices == (x, 30, 20))
    browser_page.mouse.dblclick(*at(shape[1] - 0.5 - 50, shape[2] - 0.5 - 40))
    until(lambda: session.slices.indices == (x, 50, 40))


def test_right_is_at_the_left_and_has_its_name(cockpit, browser_page, expect):
    """The structures of the thorax say which side is which: the liver is on the right, the left lung on the left."""
    session = cockpit.session
    labels, names = session.subject.mask.voxels, session.subject.structures
    shape, spacing = session.subject.volume.spatial_shape, session.subject.volume.spacing
    numbers = {name: number for number, name in names.items()}
    readout = browser_page.locator("#panel-slices .readout")
    for structure, side in (("liver", "R"), ("lung_left", "L"), ("lung_right", "R")):
        i, j, k = (labels == numbers[structure]).nonzero().double().median(0).values.long().tolist()
        inside = (labels[:, j, k] == numbers[structure]).nonzero()
        i = int(inside[len(inside) // 2])
        session.slices.look((i, j, k))
        browser_page.get_by_role("slider", name="axial slice").evaluate("(one) => one.blur()")
        expect(browser_page.get_by_role("slider", name="axial slice")).to_have_value(str(k))
        u, v = shape[0] - 0.5 - i, shape[1] - 0.5 - j
        browser_page.mouse.move(
            *place_of(browser_page.get_by_role("application", name="axial slice"), shape, spacing, 0, 1)(u, v)
        )
        expect(readout).to_contain_text(structure.replace("_", " "))
        expect(readout).to_contain_text(f"{int(session.subject.volume.voxels[i, j, k])} HU · {side} ")
        assert (u < shape[0] / 2) == (side == "R")


def test_window_and_structures_change_the_picture(browser_page):
    view = browser_page.get_by_role("application", name="coronal slice")
    browser_page.wait_for_timeout(500)
    seen = [view.screenshot()]
    browser_page.get_by_role("combobox", name="Window").select_option("Lung")
    browser_page.wait_for_timeout(200)
    seen.append(view.screenshot())
    browser_page.get_by_label("Structures").check()
    browser_page.wait_for_timeout(200)
    seen.append(view.screenshot())
    browser_page.mouse.move(*middle(view))
    browser_page.mouse.down(button="right")
    browser_page.mouse.move(middle(view)[0] + 30, middle(view)[1] + 10, steps=3)
    browser_page.mouse.up(button="right")
    assert len(set(seen)) == 3
    levels = [browser_page.get_by_label(name).input_value() for name in ("Level in HU", "Width in HU")]
    assert levels == ["-580", "1560"]


# --- handles


def test_a_handle_moves_the_ct_by_what_it_says(cockpit, browser_page, scene, picture):
    """From the front, the handle of x points to the right of the patient: to the left on the screen."""
    session = cockpit.session
    browser_page.get_by_role("button", name="Front", exact=True).click()
    browser_page.get_by_label("Handles on the selected body").select_option("translate")
    browser_page.wait_for_timeout(300)
    x, y = middle(scene)
    before = session.placement
    browser_page.mouse.move(x - 30, y)
    browser_page.wait_for_timeout(100)
    browser_page.mouse.down()
    browser_page.mouse.move(x - 90, y, steps=6)
    picture(browser_page, "handle")
    said = browser_page.locator(".scene-said").text_content()
    browser_page.mouse.up()
    until(lambda: session.history.described()["undo"] == "Move in the scene")
    moved = session.placement.bodies["CT"].matrix[0, :3, 3] - before.bodies["CT"].matrix[0, :3, 3]
    assert moved[0] > 20
    assert moved[1:].abs().max() < 1e-3
    assert said == f"CT: moved by x {moved[0]:.1f}, y 0.0, z 0.0 mm"
    session.history.undo()
    assert session.placement is before


def test_bodies_are_drawn_where_they_are(cockpit, browser_page, scene):
    """A block as large as the thorax, far out on its right, and then away from there."""
    session = cockpit.session
    corners = np.array([[x, y, z] for x in (-150.0, 150) for y in (-100.0, 100) for z in (-150.0, 150)])
    faces = [
        [0, 1, 3],
        [0, 3, 2],
        [4, 6, 7],
        [4, 7, 5],
        [0, 4, 5],
        [0, 5, 1],
        [2, 3, 7],
        [2, 7, 6],
        [0, 2, 6],
        [0, 6, 4],
    ]
    browser_page.get_by_role("button", name="Front", exact=True).click()
    session.show(mesh_frame("mesh cup", corners, np.array(faces)))
    browser_page.wait_for_timeout(300)
    before = blue(scene)
    session.place(session.placement.with_body("cup", moves.translation(torch.tensor([0.0, 250.0, 0.0]).double())))
    browser_page.wait_for_timeout(300)
    assert before < 0.02
    assert blue(scene) > 0.2
    session.place(session.placement.with_body("cup", moves.translation(torch.tensor([5000.0, 0.0, 0.0]).double())))
    browser_page.wait_for_timeout(300)
    assert blue(scene) < 0.02


def blue(view):
    """How much of a picture has the colour of bodies."""
    picture = imread(io.BytesIO(view.screenshot()))
    return float(((picture[..., 2] > picture[..., 0] + 0.2) & (picture[..., 2] > 0.4)).mean())


def test_a_point_that_is_shown_in_a_slice_is_marked_in_all_and_in_the_scene(cockpit, browser_page, scene):
    """Also without the pointer: the crosshair's point by Enter."""
    coronal = browser_page.get_by_role("application", name="coronal slice")
    browser_page.get_by_text("What is shown").click()
    for name in ("Bone", "Skin", "Slices"):
        browser_page.get_by_label(name, exact=name == "Slices").first.uncheck()
    browser_page.get_by_role("button", name="Front", exact=True).click()
    browser_page.wait_for_timeout(300)
    before = coronal.screenshot(), scene.screenshot()
    browser_page.get_by_role("application", name="axial slice").focus()
    browser_page.keyboard.press("Enter")
    browser_page.wait_for_timeout(300)
    assert coronal.screenshot() != before[0]
    assert scene.screenshot() != before[1]
