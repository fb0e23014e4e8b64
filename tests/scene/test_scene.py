"""Scenes: names, places, parents and joints; silhouettes and depth; what is refused, and what is said."""

import math

import pytest
import torch
from scene_cases import cone_views, cube, random_rays, ray, shifted, water

from raygrad.data import Subject, Volume, hu_to_attenuation
from raygrad.drr import DRR
from raygrad.geometry import ConeViews, RayViews
from raygrad.march import Bodies, Marching
from raygrad.pose import RigidTransform, convert
from raygrad.scene import Ball, Body, Capsule, Fixed, Free, Hinge, Mesh, Scene, SceneWarning, Spheres


def marker(centre=(0.0, 0.0, 0.0), radius=4.0, **changes):
    return Spheres([centre], radius, material=1.0, **changes)


def middle_of(scene, name, **moves):
    """Where a marker is: the point of its frame that its ball is about, in the world."""
    body = scene.bodies[scene.place_of(name)]
    return scene.poses(**moves)[name](body.centres[None])[0, 0].tolist()


# --- names and places


def test_bodies_are_named_by_their_kind_and_numbered():
    mesh = Mesh(cube(5.0))
    scene = Scene([Body(water()), mesh, marker(name="mesh 2"), Mesh(cube(5.0)), marker(), Mesh(cube(5.0), name="cup")])
    assert scene.names == ("ct", "mesh", "mesh 2", "mesh 3", "spheres", "cup")
    assert isinstance(scene.prepared, Bodies)
    assert len(scene.prepared) == 6


def test_a_pose_moves_a_body_as_moving_the_views_the_other_way_does():
    views = cone_views(24, delx=2.0, angles=((0.2, 0.3, 0.1),))
    pose = shifted(7, -3, 4, turn=(0.5, 0.2, 0.9))
    rod = Capsule((-8, 0, 0), (8, 3, 0), 2.0, material=1.0)
    moved = Scene([Capsule((-8, 0, 0), (8, 3, 0), 2.0, material=1.0, pose=pose)]).render(views)
    torch.testing.assert_close(moved, Scene([rod]).render(views.moved(pose.inverse())))
    torch.testing.assert_close(moved, Scene([rod]).render(views, poses={"capsule": pose}))
    assert (moved - Scene([rod]).render(views)).abs().max() > 1


def test_the_same_bodies_elsewhere_share_what_is_prepared():
    views, pose = cone_views(24, delx=2.0), shifted(7, -3, 4, turn=(0.5, 0.2, 0.9))
    scene = Scene([Body(water(), name="block"), Mesh(cube(5.0), name="cup", parent="block")])
    elsewhere = scene.with_poses({"cup": pose})
    assert elsewhere.prepared is scene.prepared
    torch.testing.assert_close(elsewhere.render(views), scene.render(views, poses={"cup": pose}))
    assert scene.bodies[1].pose is None
    assert elsewhere.rest("cup") is not None
    with pytest.raises(ValueError, match=r"block, cup\. Got 'rod'"):
        scene.with_poses({"rod": pose})
    with pytest.raises(ValueError, match="one finite pose"):
        scene.with_poses({"cup": RigidTransform(torch.cat([pose.matrix, pose.matrix]))})


def test_a_body_is_put_elsewhere_and_hung_on_another_without_being_read_again():
    cup = Mesh(cube(5.0), name="cup")
    moved = cup.at(shifted(3.0)).hung("pelvis", "shell")
    assert (moved.name, moved.parent, cup.name, cup.parent, cup.pose) == ("shell", "pelvis", "cup", None, None)
    assert moved.vertices is cup.vertices
    assert moved.pose.translation[0, 0] == 3.0
    assert cup.hung("pelvis").name == "cup"


def test_poses_and_joints_may_be_one_for_each_view():
    views = cone_views(24, delx=2.0, angles=((0.0, 0.0, 0.0), (0.2, 0.3, 0.1)))
    poses = RigidTransform(torch.cat([shifted(5).matrix, shifted(-5).matrix]))
    scene = Scene([marker(joint=Hinge((10, 0, 0), (0, 0, 1)))])
    image = scene.render(views, poses={"spheres": poses})
    for view in range(2):
        alone = scene.render(views[[view]], poses={"spheres": RigidTransform(poses.matrix[[view]])})
        torch.testing.assert_close(image[[view]], alone)
    turns = torch.tensor([[0.5], [1.0]], dtype=torch.float64)
    image = scene.render(views, joints={"spheres": turns})
    for view in range(2):
        torch.testing.assert_close(image[[view]], scene.render(views[[view]], joints={"spheres": turns[view]}))


def test_children_go_along_with_their_parents_and_turn_in_their_joints():
    scene = Scene(
        [
            marker((10, 0, 0), name="leaf", parent="branch", joint=Hinge((5, 0, 0), (0, 0, 1)), pose=shifted(0, 0, 2)),
            marker((5, 0, 0), name="branch", parent="root", pose=shifted(1, 0, 0)),
            marker(name="root", joint=Fixed()),
            marker(name="other"),
        ]
    )
    assert scene.parents == (1, 2, None, None)
    assert middle_of(scene, "leaf") == pytest.approx([10, 0, 2])
    turned = {"poses": {"root": shifted(0, 0, 7, turn=(math.pi / 2, 0, 0))}}
    assert middle_of(scene, "branch", **turned) == pytest.approx([0, 6, 7])
    assert middle_of(scene, "leaf", **turned) == pytest.approx([0, 10, 9])
    # The hinge is at (5, 0, 0) in the branch's frame, which is at (6, 0, 0) of the world.
    bent = {"joints": {"leaf": torch.tensor([math.pi / 2], dtype=torch.float64)}}
    assert middle_of(scene, "leaf", **bent) == pytest.approx([6, 4, 2])
    assert middle_of(scene, "leaf", **bent, **turned) == pytest.approx([-4, 6, 9])
    assert middle_of(scene, "branch", **bent) == pytest.approx([6, 0, 0])
    assert middle_of(scene, "other", **bent, **turned) == pytest.approx([0, 0, 0])
    world = scene.poses(**bent)["leaf"].matrix
    rest, motion = scene.rest("leaf"), scene.joint("leaf").motion(bent["joints"]["leaf"])
    torch.testing.assert_close(world, scene.poses()["branch"].matrix @ motion.matrix @ rest.matrix)


def test_a_body_without_a_joint_is_free_and_its_values_are_a_twist():
    scene = Scene([marker()])
    assert scene.joint("spheres") == Free()
    assert middle_of(scene, "spheres", joints={"spheres": [1.0, 2.0, 3.0, 0.0, 0.0, 0.0]}) == pytest.approx([1, 2, 3])


# --- silhouettes and depth


def test_depth_is_the_way_to_the_first_surface():
    scene = Scene([marker(radius=5.0), Capsule((0, 0, 20), (0, 0, 40), 3.0), Body(water())])
    views = ray((0, -100, 0), (0, 100, 0))
    assert scene.depth(views).flatten().tolist() == [pytest.approx(95.0), math.inf, math.inf]
    assert scene.depth(ray((0, 0, 0), (0, 100, 0))).flatten().tolist() == [0.0, math.inf, math.inf]
    assert scene.depth(ray((0, 0, -50), (0, 0, 50))).flatten().tolist() == [
        pytest.approx(45),
        pytest.approx(67),
        math.inf,
    ]


def test_silhouettes_are_where_rays_meet_bodies_whatever_hides_them():
    views = cone_views(40, delx=2.0)
    scene = Scene([marker(radius=5.0), marker(radius=8.0), Body(water())])
    found = scene.silhouettes(views)
    assert found.shape == (1, 3, 40, 40)
    source, target = views.rays()
    step = torch.nn.functional.normalize(target - source, dim=-1)
    away = torch.linalg.vector_norm(torch.linalg.cross(-source.expand_as(step), step), dim=-1)
    assert torch.equal(found[:, 0].flatten(), (away < 5).flatten())
    assert torch.equal(found[:, 1].flatten(), (away < 8).flatten())
    exact = Scene([Body(water())]).render(views, marching=Marching("siddon"))
    assert torch.equal(found[:, 2], exact[:, 0] > 0)
    assert torch.equal(scene.depth(views).isfinite()[:, :2], found[:, :2])


@pytest.mark.parametrize("orientation", ["AP", "PA", None])
@pytest.mark.parametrize("reverse_x_axis", [True, False])
def test_a_point_of_a_body_is_projected_onto_its_silhouette(orientation, reverse_x_axis):
    subject = water()
    subject = type(subject)(subject.volume, orientation=orientation)
    lengths = {"delx": 1.0, "width": 51, "dely": 1.5, "x0": 3.0, "y0": -5.0}
    drr = DRR(subject, 1020.0, 44, reverse_x_axis=reverse_x_axis, **lengths)
    away = {"AP": [[0.0, 850.0, 0.0]], "PA": [[0.0, -850.0, 0.0]], None: [[0.0, 0.0, -850.0]]}[orientation]
    rotation, translation = torch.tensor([[0.3, 0.1, -0.2]]).double(), torch.tensor(away).double()
    pose = convert(rotation, translation, parameterization="euler_angles", convention="ZXY")
    moved = shifted(4.0, -2.0, 7.0, turn=(0.4, 0.3, 0.2))
    centre = (5.0, 1.0, -3.0)
    scene = Scene([marker(centre, radius=2.5)])
    found = scene.silhouettes(ConeViews.of(drr, pose), poses={"spheres": moved})[0, 0]
    point = moved(torch.tensor([[centre]], dtype=torch.float64))
    u, v = drr.perspective_projection(pose, point)[0, 0].tolist()
    assert found[math.floor(v), math.floor(u)]
    rows, columns = found.nonzero(as_tuple=True)
    assert columns.double().mean().item() + 0.5 == pytest.approx(u, abs=0.3)
    assert rows.double().mean().item() + 0.5 == pytest.approx(v, abs=0.3)


# --- CTs


def halves():
    """A block of water whose left half has label 1, and of whose right half a part has label 2."""
    mask = torch.zeros(20, 20, 20, dtype=torch.uint8)
    mask[:10] = 1
    mask[12:15, 3:9, 4:12] = 2
    return water(mask=mask)


def test_a_ct_is_attenuation_at_the_scenes_energy():
    along = ray((0.5, 0.5, -100), (0.5, 0.5, 100))
    for energy_kev, per_cm in ((60, 0.2059), (100, 0.1707)):
        image = Scene([Body(water())], energy_kev=energy_kev).render(along)
        assert image.item() == pytest.approx(40 * per_cm / 10, rel=1e-5)


@pytest.mark.parametrize("renderer", ["siddon", "joseph"])
def test_a_ct_alone_is_what_a_drr_of_it_shows(renderer):
    hu = torch.rand(20, 20, 20, generator=torch.Generator().manual_seed(0)) * 2000 - 1000
    volume = Volume(hu, water().volume.affine)
    subject = Subject(volume, density=hu_to_attenuation(volume.data, 80.0))
    drr = DRR(subject, 1020.0, 24, 3.0, renderer=renderer)
    views = cone_views(24, delx=3.0, angles=((0.2, 0.3, 0.1),), dtype=torch.float32)
    image = Scene([Body(subject)], energy_kev=80).render(views, marching=Marching(renderer))
    torch.testing.assert_close(image, drr(views.pose))


def test_a_ct_and_its_parts_are_the_ct_until_they_move():
    ct = halves()
    views = cone_views(20, delx=3.0, angles=((0.2, 0.3, 0.1),))
    whole = Scene([Body(ct)]).render(views)
    cut = Scene([Body(ct), Body(ct, labels=[1]), Body(ct, labels=2, name="two")])
    assert cut.names == ("ct", "labels 1", "two")
    torch.testing.assert_close(cut.render(views), whole, atol=1e-5, rtol=1e-5)
    alone = Scene([Body(ct, labels=2)]).render(ray((6, -6, -100), (6, -6, 100)))
    assert alone.item() == pytest.approx(16 * 0.02059, rel=1e-5)


def test_a_part_of_one_tissue_leaves_it_and_adds_nothing_where_it_goes():
    mask = torch.zeros(20, 20, 20, dtype=torch.uint8)
    mask[8:13, 6:12, 7:14] = 2
    ct = water(mask=mask)
    views = cone_views(20, delx=3.0, angles=((0.2, 0.3, 0.1),))
    moved = Scene([Body(ct), Body(ct, labels=2, name="two")]).render(views, poses={"two": shifted(0, 0, 8)})
    torch.testing.assert_close(moved, Scene([Body(ct)]).render(views), atol=1e-5, rtol=1e-5)


def test_gradients_reach_the_voxels_of_a_ct_and_of_its_parts():
    ct = halves()
    density = (torch.rand(20, 20, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).requires_grad_()
    ct = type(ct)(ct.volume, density=density, mask=ct.mask)
    views = cone_views(20, delx=3.0, angles=((0.2, 0.3, 0.1),))
    (whole,) = torch.autograd.grad(Scene([Body(ct, values="density")]).render(views).square().sum(), density)
    parts = [Body(ct, values="density"), *(Body(ct, labels=label, values="density") for label in (1, 2))]
    (cut,) = torch.autograd.grad(Scene(parts).render(views).square().sum(), density)
    torch.testing.assert_close(cut, whole)


def test_a_body_of_density_is_the_subjects_density():
    subject = water(value=0.3)
    along = ray((0.5, 0.5, -100), (0.5, 0.5, 100))
    assert Scene([Body(subject, values="density")]).render(along).item() == pytest.approx(12.0)


def test_coarser_bodies_have_coarser_volumes_and_the_same_solids():
    scene = Scene([Body(water()), marker()])
    coarse = scene.prepared.coarser(8.0)
    assert coarse.parts[0].values.shape == (10, 10, 10)
    assert coarse.parts[1] is scene.bodies[1]
    assert scene.prepared.coarser(1.0).parts[0] is scene.prepared.parts[0]


# --- what is refused, and what is said


@pytest.mark.parametrize(
    ("bodies", "message"),
    [
        (lambda: [], "at least one body"),
        (lambda: [marker(name="a"), marker(name="a")], "different names. Got 'a'"),
        (lambda: [marker(parent="ghost")], "parent of 'spheres' to be one of spheres. Got 'ghost'"),
        (lambda: [marker(name="a", parent="a")], "circle: a -> a"),
        (
            lambda: [marker(name=one, parent=other) for one, other in ("ab", "bc", "ca")],
            "circle: a -> b -> c -> a",
        ),
        (lambda: [Body(halves(), labels=[1, 7])], r"have: 0, 1, 2. Got \[7\], in no voxel"),
        (lambda: [Body(halves(), labels=[])], "Expected labels of the body"),
        (lambda: [Body(water(), labels=1)], "CT with a mask"),
        (lambda: [Body(water(), values="hu")], "attenuation, density"),
        (lambda: [marker(pose=RigidTransform(torch.eye(4).expand(2, 4, 4)))], "one finite pose"),
        (lambda: [marker(pose=RigidTransform(torch.full((4, 4), math.nan)))], "one finite pose"),
    ],
)
def test_what_makes_no_scene_is_refused(bodies, message):
    with pytest.raises(ValueError, match=message):
        Scene(bodies())


def test_a_ct_is_what_read_makes():
    with pytest.raises(TypeError, match=r"as raygrad.read makes it. Got str"):
        Body("ct.nii.gz")


def test_bodies_of_one_ct_agree():
    ct = halves()
    with pytest.raises(ValueError, match=r"each label in one body of a CT. Got \[2\]"):
        Scene([Body(ct, labels=[1, 2]), Body(ct, labels=2)])
    with pytest.raises(ValueError, match="one kind of values"):
        Scene([Body(ct), Body(ct, labels=2, values="density")])


@pytest.mark.parametrize(
    ("moves", "message"),
    [
        ({"poses": {"ghost": shifted()}}, "poses of spheres. Got 'ghost'"),
        ({"joints": {"ghost": [1.0]}}, "joints of spheres. Got 'ghost'"),
        ({"joints": {"spheres": [1.0]}}, "Expected 3 values of a Ball"),
        ({"joints": {"spheres": torch.zeros(3)}, "poses": {"spheres": shifted()}}, "both for 'spheres'"),
        ({"poses": {"spheres": RigidTransform(torch.eye(4).expand(3, 4, 4))}}, "one pose of 'spheres', or 1"),
    ],
)
def test_moves_that_fit_no_body_are_refused(moves, message):
    scene = Scene([marker(joint=Ball((0, 0, 0)))])
    with pytest.raises(ValueError, match=message):
        scene.render(cone_views(4), **moves)


@pytest.mark.parametrize("energy_kev", [5, 500])
def test_energies_beyond_the_tables_are_refused(energy_kev):
    with pytest.raises(ValueError, match="from 20 to 150"):
        Scene([marker()], energy_kev=energy_kev)


def test_bodies_that_no_ray_meets_are_named():
    views = cone_views(16, delx=2.0)
    scene = Scene([Body(water(), name="patient"), marker((500, 0, 0), name="far"), marker(name="near")])
    with pytest.warns(SceneWarning, match="No ray meets 'far'.$"):
        scene.render(views)
    with pytest.warns(SceneWarning, match="No ray meets 'patient', 'far'.$"):
        scene.render(views, poses={"patient": shifted(0, 0, 300)})
    with pytest.warns(SceneWarning, match="No ray meets 'far'.$"):
        scene.render_with_jacobian(views)


def test_a_body_that_another_hides_is_met():
    hidden = Scene([marker(radius=2.0, name="hidden"), marker(radius=9.0)])
    image = hidden.render(cone_views(16, delx=2.0), channels=True)
    assert image[:, 0].max() == 0


def test_rays_of_any_kind_are_views():
    rays = random_rays(50)
    image = Scene([marker()]).render(RayViews(*rays.rays(), (5, 10)))
    assert image.shape == (1, 1, 5, 10)
    with pytest.raises(TypeError):
        Scene([marker()]).render("AP")
