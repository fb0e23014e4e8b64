"""Cameras of other programs: points of the world on the pixels where the other program's own formula has them."""

import numpy as np
import pytest
import roma
import torch
from camera_formulas import POINTS, assert_pixels, pixels_of, project, project_cone_vectors, random_pinhole, turn

from raygrad.formats import Frames, read_geometry, write_geometry
from raygrad.geometry import ConeViews, cone_vectors_of, views_of_cone_vectors
from raygrad.geometry.trajectories import circular

SYSTEM = {"sdd": 1200.0, "sid": 800.0, "height": 6, "width": 9, "delx": 4.0, "dely": 3.0, "x0": 6.0, "y0": -4.5}
FRAMES = Frames((6, 9), (4.0, 3.0))


def block(rows):
    return "\n".join(" ".join(map(str, row)) for row in rows) + "\n"


def test_matrices_as_text(tmp_path):
    views = circular(4, **SYSTEM)
    write_geometry(tmp_path / "a.txt", views, kind="projection matrices as text")
    numbers = np.loadtxt(tmp_path / "a.txt").reshape(4, 3, 4)
    u, v, w = np.moveaxis(numbers @ np.c_[POINTS, np.ones(7)].T, 1, 0)
    assert_pixels(np.stack([u / w, v / w], -1) - 0.5, pixels_of(views))
    assert_pixels(pixels_of(read_geometry(tmp_path / "a.txt")), pixels_of(views))
    # Commas, and what the remarks do not say beside the file.
    np.savetxt(tmp_path / "b.csv", numbers.reshape(-1, 4), delimiter=",")
    found = read_geometry(tmp_path / "b.csv", FRAMES)
    assert_pixels(pixels_of(found), pixels_of(views))
    torch.testing.assert_close(cone_vectors_of(found), cone_vectors_of(views), atol=2e-3, rtol=0)


# What writes to which file: all of it is read again as it was.
WRITTEN = {
    "sweep.json": "raygrad's JSON",
    "sweep.xml": "RTK's XML",
    "matrices.npz": "projection matrices",
    "matrices.npy": "projection matrices",
    "matrices.txt": "projection matrices as text",
    "vectors.npz": "ASTRA's cone_vec",
    "vectors.npy": "ASTRA's cone_vec",
    "vectors.txt": "ASTRA's cone_vec",
    "modules.npz": "LEAP's modular beams",
}


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_is_read_as_it_was(tmp_path, name, mirrored):
    rng = np.random.default_rng(5)
    views = circular(3, **SYSTEM)
    if mirrored:
        detector = views.detector.with_intrinsics(views.detector.intrinsics.replaced(reverse_x_axis=False))
        views = ConeViews(detector, views.pose)
    vectors = cone_vectors_of(views)
    vectors[:, :6] += torch.from_numpy(rng.normal(size=(3, 6)))  # a detector of its own for each view
    views = views_of_cone_vectors(vectors, 6, 9)
    write_geometry(tmp_path / name, views, kind=WRITTEN[name])
    found = read_geometry(tmp_path / name, FRAMES)
    assert_pixels(pixels_of(found), pixels_of(views))
    torch.testing.assert_close(cone_vectors_of(found), cone_vectors_of(views), atol=5e-3, rtol=0)


@pytest.mark.parametrize("each", [False, True])
def test_camera_rotation_and_translation_as_text(tmp_path, each):
    rng = np.random.default_rng(1)
    cameras = [random_pinhole(rng) for _ in range(3)]
    text = "# K, then R | t\n"
    for number, (camera, rotation, translation) in enumerate(cameras):
        text += block(camera) if each or number == 0 else ""
        text += block(np.c_[rotation, translation])
    (tmp_path / "a.txt").write_text(text)
    expected = [project(c if each else cameras[0][0], r, t) - 0.5 for c, r, t in cameras]
    views = read_geometry(tmp_path / "a.txt", FRAMES)
    assert_pixels(pixels_of(views), expected)
    assert views.detector.delx == pytest.approx(4.0)


TEXT_DAMAGES = {
    "two rows": ("1 2 3 4\n5 6 7 8\n", "three a view"),
    "late K": ("1 0 0 0\n0 1 0 0\n0 0 1 9\n" + "3 0 1\n0 3 1\n0 0 1\n", r"K before the first \[R"),
    "no rotation": ("3 0 1\n0 3 1\n0 0 1\n" + "2 0 0 0\n0 1 0 0\n0 0 1 9\n", "rotation.* in view 1"),
    "mirrored": ("3 0 1\n0 3 1\n0 0 1\n" + "-1 0 0 0\n0 1 0 0\n0 0 1 9\n", "rotation.* in view 1"),
    "negative": ("-3 0 1\n0 3 1\n0 0 1\n" + "1 0 0 0\n0 1 0 0\n0 0 1 9\n", "Expected K .* in view 1"),
    "singular": ("1 2 3 4\n" * 3, "View 1"),
    "half a pixel": ("# height = 5.5\n# width = 2\n" + "1 2 3 4\n" * 3, "whole numbers"),
    "a word": ("# height = many\n" + "1 2 3 4\n" * 3, "as numbers in the remarks"),
}


@pytest.mark.parametrize("damage", TEXT_DAMAGES)
def test_damaged_texts_are_refused_with_the_reason(tmp_path, damage):
    text, reason = TEXT_DAMAGES[damage]
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_geometry(tmp_path / "a.txt", FRAMES)


def test_pixels_of_several_widths_are_not_written_as_one(tmp_path):
    vectors = cone_vectors_of(circular(3, **SYSTEM))
    vectors[1, 6:9] *= 1.1
    with pytest.raises(ValueError, match=r"one width.* in view 2"):
        write_geometry(tmp_path / "a.txt", views_of_cone_vectors(vectors, 6, 9), kind="projection matrices as text")


def opencv_matrix(name, values):
    values = np.atleast_2d(values)
    numbers = ",\n       ".join(", ".join(map(repr, row)) for row in values.tolist())
    return (
        f"{name}: !!opencv-matrix\n   rows: {values.shape[0]}\n   cols: {values.shape[1]}\n   dt: d\n"
        f"   data: [ {numbers} ]\n"
    )


def opencv_yaml(camera, rotation, translation, distortion=0.0, names=("camera_matrix", "R", "T"), head="%YAML:1.0"):
    parts = [opencv_matrix(n, v) for n, v in zip(names, (camera, rotation, translation[:, None]), strict=True)]
    lens = opencv_matrix("distortion_coefficients", [[distortion, 0.0, 0.0, 0.0, 0.0]])
    return f'{head}\n---\ncalibration_time: "Fri"\nimage_width: 9\nimage_height: 6\n' + "".join([*parts, lens])


@pytest.mark.parametrize("as_vector", [False, True])
def test_cameras_of_opencv(tmp_path, as_vector):
    camera, rotation, translation = random_pinhole(np.random.default_rng(2))
    turned = rotation
    names = ("camera_matrix", "R", "T")
    if as_vector:  # Rodrigues' vector: the axis times the angle
        turned = roma.rotmat_to_rotvec(torch.from_numpy(rotation)).numpy()[:, None]
        names = ("K", "rvec", "tvec")
    (tmp_path / "a.yml").write_text(opencv_yaml(camera, turned, translation, names=names))
    views = read_geometry(tmp_path / "a.yml", FRAMES)
    assert_pixels(pixels_of(views)[0], project(camera, rotation, translation))  # OpenCV counts from pixel centres
    assert (views.detector.delx, views.detector.sdd) == pytest.approx((4.0, 4 * camera[0, 0]), abs=1e-4)


def test_a_camera_of_opencv_is_read_as_it_was_written(tmp_path):
    views = circular(3, **SYSTEM)[1:2]
    write_geometry(tmp_path / "a.yaml", views)
    found = read_geometry(tmp_path / "a.yaml")
    torch.testing.assert_close(cone_vectors_of(found), cone_vectors_of(views), atol=2e-3, rtol=0)
    assert (tmp_path / "a.yaml").read_text().startswith("%YAML:1.0\n---\n")
    with pytest.raises(ValueError, match=r"one view .* Got 3"):
        write_geometry(tmp_path / "a.yaml", circular(3, **SYSTEM))
    mirrored = ConeViews(
        views.detector.with_intrinsics(views.detector.intrinsics.replaced(reverse_x_axis=False)), views.pose
    )
    with pytest.raises(ValueError, match="mirror"):
        write_geometry(tmp_path / "a.yaml", mirrored)


OPENCV_DAMAGES = {
    "distorted": (lambda parts: opencv_yaml(*parts, distortion=0.1), "distorted lens"),
    "no rotation": (lambda parts: opencv_yaml(*parts).replace("\nR:", "\nQ:"), "Expected R .* Got none"),
    "another size": (lambda parts: opencv_yaml(parts[0], parts[1][:2], parts[2]), "Expected R .* Got 2 x 3"),
    "two names": (lambda parts: opencv_yaml(*parts) + opencv_matrix("K", parts[0]), "one of camera_matrix.*, K in"),
    "a word": (lambda parts: opencv_yaml(*parts).replace("data: [ ", "data: [ x"), "3 x 3 numbers of camera_matrix"),
    "stretched": (lambda parts: opencv_yaml(parts[0], 2 * parts[1], parts[2]), "rotation"),
}


@pytest.mark.parametrize("damage", OPENCV_DAMAGES)
def test_damaged_files_of_opencv_are_refused_with_the_reason(tmp_path, damage):
    make, reason = OPENCV_DAMAGES[damage]
    (tmp_path / "a.yml").write_text(make(random_pinhole(np.random.default_rng(2))))
    with pytest.raises(ValueError, match=reason):
        read_geometry(tmp_path / "a.yml", FRAMES)


VECTORS = np.array(
    [
        [0, 800, 0, 5, -400, 3, -4, 0, 0, 0, 0, -3],
        [800, 10, 5, -390, 0, 0, 0, 4.1, 0.3, 0.2, 0.1, -3.1],
    ],
    dtype=float,
)


@pytest.mark.parametrize("kind", ["npy", "npz", "txt", "csv"])
def test_cone_vectors_of_astra(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "npy":
        np.save(path, VECTORS)
    elif kind == "npz":
        np.savez(path, Vectors=VECTORS, DetectorRowCount=6, DetectorColCount=9)
    else:
        np.savetxt(path, VECTORS, delimiter="," if kind == "csv" else " ")
    views = read_geometry(path, None if kind == "npz" else Frames((6, 9)))
    assert_pixels(pixels_of(views), project_cone_vectors(VECTORS, POINTS))
    if kind != "csv":
        write_geometry(tmp_path / f"b.{kind}", views, kind="ASTRA's cone_vec")
        again = read_geometry(tmp_path / f"b.{kind}", Frames((6, 9)))
        assert_pixels(pixels_of(again), pixels_of(views))
        torch.testing.assert_close(cone_vectors_of(again), torch.from_numpy(VECTORS), atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", ["type", "directions"])
def test_parallel_vectors_of_astra_are_not_taken_for_sources(tmp_path, kind):
    vectors = np.concatenate(
        [VECTORS[:, :3] / np.linalg.norm(VECTORS[:, :3], axis=1, keepdims=True), VECTORS[:, 3:]], 1
    )
    named = {"type": "parallel3d_vec", "Vectors": 2 * vectors} if kind == "type" else {"Vectors": vectors}
    np.savez(tmp_path / "a.npz", **named, DetectorRowCount=6, DetectorColCount=9)
    with pytest.raises(ValueError, match=r"Expected a cone beam.*parallel3d_vec"):
        read_geometry(tmp_path / "a.npz")


def test_damaged_cone_vectors_are_refused_with_the_reason(tmp_path):
    np.save(tmp_path / "a.npy", VECTORS)
    with pytest.raises(ValueError, match="leaves open height and width"):
        read_geometry(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.r_[VECTORS, np.zeros((1, 12))])
    with pytest.raises(ValueError, match=r"a\.npy.* in view 3"):
        read_geometry(tmp_path / "a.npy", FRAMES)
    (tmp_path / "a.txt").write_text("1 2 3 4 5 6 7 8 9 10 11 12\n1 2 3\n")
    with pytest.raises(ValueError, match=r"one of .*ASTRA"):
        read_geometry(tmp_path / "a.txt", FRAMES)


@pytest.mark.parametrize("per_view", [False, True])
def test_geometry_of_tigre(tmp_path, per_view):
    rng = np.random.default_rng(3)
    angles = rng.uniform(-3, 3, (4, 3)) if per_view else rng.uniform(-3, 3, 4)
    shape = (4,) if per_view else ()
    geometry = {
        "DSO": 800 + rng.uniform(0, 9, shape),
        "DSD": 1200 + rng.uniform(0, 9, shape),
        "nDetector": np.array([6, 9]),
        "dDetector": np.array([3.0, 4.0]),
        "offOrigin": rng.normal(size=(*shape, 3)) * 9,
        "offDetector": rng.normal(size=(*shape, 2)) * 9,
        "rotDetector": rng.normal(size=(*shape, 3)) * 0.1,
        "COR": rng.normal(size=shape),
        "accuracy": 0.5,
    }
    np.savez(tmp_path / "a.npz", angles=angles, **geometry)
    views = read_geometry(tmp_path / "a.npz")
    vectors = []
    for number in range(4):
        g = {name: value[number] if per_view and name[0] in "Dor" else value for name, value in geometry.items()}
        g["COR"] = np.broadcast_to(geometry["COR"], 4)[number]
        a, b, c = angles[number] if per_view else (angles[number], 0, 0)
        yaw, pitch, roll = g["rotDetector"]
        detector = turn("z", roll) @ turn("y", pitch) @ turn("x", yaw)
        world = turn("z", a) @ turn("y", b) @ turn("z", c)
        shift = np.array([-g["COR"] * np.sin(a), g["COR"] * np.cos(a), 0]) - g["offOrigin"][::-1]
        source = world @ [g["DSO"], 0, 0] + shift
        middle = world @ [g["DSO"] - g["DSD"], g["offDetector"][1], g["offDetector"][0]] + shift
        vectors.append(np.r_[source, middle, world @ detector @ [0, 4.0, 0], world @ detector @ [0, 0, 3.0]])
    assert_pixels(pixels_of(views), project_cone_vectors(vectors, POINTS))


def test_geometry_of_tigre_as_its_first_demo_draws_it(tmp_path):
    """S is at +x, the detector behind, and the point at +y, +z is in a later column and a later row."""
    plain = {"DSO": 1000.0, "DSD": 1500.0, "nDetector": [6, 9], "dDetector": [3.0, 4.0]}
    np.savez(tmp_path / "a.npz", angles=np.zeros(1), **plain)
    views = read_geometry(tmp_path / "a.npz")
    assert views.source[0].tolist() == pytest.approx([1000, 0, 0])
    u, v, w = views.world_to_pixel[0].numpy() @ [0, 4 / 1.5, 3 / 1.5, 1]
    assert (u / w, v / w) == pytest.approx((4 + 1, 2.5 + 1), abs=1e-4)


TIGRE_DAMAGES = {
    "unknown": ({"wobble": np.zeros(3)}, "wobble"),
    "parallel": ({"mode": "parallel"}, "mode parallel"),
    "angles": ({"angles": np.zeros((4, 2))}, r"angles of shape .* Got \(4, 2\)"),
    "offset": ({"offDetector": np.zeros(3)}, r"offDetector of 2 numbers"),
    "inside": ({"DSD": 0.0}, "in view 1"),
}


@pytest.mark.parametrize("damage", TIGRE_DAMAGES)
def test_damaged_geometry_of_tigre_is_refused_with_the_reason(tmp_path, damage):
    change, reason = TIGRE_DAMAGES[damage]
    plain = {"DSO": 1000.0, "DSD": 1500.0, "nDetector": [6, 9], "dDetector": [3.0, 4.0], "angles": np.zeros(4)}
    np.savez(tmp_path / "a.npz", **plain | change)
    with pytest.raises(ValueError, match=reason):
        read_geometry(tmp_path / "a.npz")


def leap_parameters(**changes):
    vectors = {"sourcePositions": VECTORS[:, :3], "moduleCenters": VECTORS[:, 3:6]}
    vectors |= {"colVectors": VECTORS[:, 6:9], "rowVectors": VECTORS[:, 9:]}
    sizes = {"numAngles": 2, "numRows": 6, "numCols": 9, "pixelHeight": 3.0, "pixelWidth": 4.0}
    given = {"geometry": "modular", **sizes, **vectors} | changes
    lines = [f"{n} = {v if np.ndim(v) == 0 else ', '.join(map(str, np.ravel(v)))}" for n, v in given.items()]
    return "# CT geometry\n" + "\n".join(lines) + "\n"


def test_modular_beams_of_leap(tmp_path):
    (tmp_path / "a.txt").write_text(leap_parameters())
    views = read_geometry(tmp_path / "a.txt")
    expected = VECTORS.copy()  # unit vectors count, times the size of a pixel
    for columns, size in ((slice(6, 9), 4.0), (slice(9, 12), 3.0)):
        expected[:, columns] *= size / np.linalg.norm(expected[:, columns], axis=1, keepdims=True)
    assert_pixels(pixels_of(views), project_cone_vectors(expected, POINTS))
    circle = circular(4, **SYSTEM)
    write_geometry(tmp_path / "b.npz", circle, kind="LEAP's modular beams")
    again = read_geometry(tmp_path / "b.npz")
    torch.testing.assert_close(cone_vectors_of(again), cone_vectors_of(circle), atol=2e-3, rtol=0)
    with np.load(tmp_path / "b.npz") as arrays:
        np.testing.assert_allclose(np.linalg.norm(arrays["rowVectors"], axis=1), 1, atol=1e-6)
        assert arrays["numAngles"] == 4
    for change, reason in (
        ({"geometry": "cone"}, "modular beams.* Got cone"),
        ({"detectorType": "curved"}, "flat detectors"),
        ({"rowVectors": np.ones(5)}, "three numbers a view"),
    ):
        (tmp_path / "a.txt").write_text(leap_parameters(**change))
        with pytest.raises(ValueError, match=reason):
            read_geometry(tmp_path / "a.txt")
