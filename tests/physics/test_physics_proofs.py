"""Closed forms: a slab of three materials and a cylinder of water, and gVXR's image of a mesh."""

import math

import numpy as np
import pytest
import torch
from physics_cases import beam, drr_of, pose_of, subject_of
from scene_cases import cone_views, icosphere, shifted

from raygrad._attenuation import linear_attenuation
from raygrad.drr import DRR
from raygrad.geometry import ConeViews
from raygrad.physics import Physics, Spectrum, Tissues, path_lengths, render, sensor_named
from raygrad.pose import RigidTransform
from raygrad.scene import Body, Capsule, Cylinder, Mesh, Scene, Spheres

SLABS = Tissues(nodes=[("water", 0.0), ("cortical bone", None), ("aluminium", None)])
SYSTEM = Physics(Spectrum.tube(90.0, {"aluminium": 2.5}), sensor_named("csi"), SLABS)


def closed_form(lengths, physics=SYSTEM):
    """-log of the sum over energies, in double precision and in plain words; `lengths` by material in mm."""
    energies, photons = physics.spectrum.energies_kev, physics.spectrum.photons
    weights = photons * physics.sensor.absorbed(energies) * energies
    exponent = sum(linear_attenuation(name, energies) * mm[..., None] for name, mm in lengths.items())
    return -torch.log((weights * torch.exp(-exponent)).sum(-1) / weights.sum())


@pytest.mark.parametrize("renderer", ["siddon", "joseph"])
def test_a_slab_of_water_bone_and_aluminium(renderer):
    spacing, layers = (30.0, 2.0, 30.0), {"water": 14, "cortical bone": 6, "aluminium": 4}
    hu = torch.cat(
        [torch.full((40, count, 40), dict(SLABS.nodes)[name], dtype=torch.float64) for name, count in layers.items()],
        dim=1,
    )
    drr = drr_of(subject_of(hu, spacing), 9, 7, 20.0, renderer=renderer)
    pose = pose_of((0.3, 0.1, 0.2))
    source, target = ConeViews(drr.detector, pose).rays()
    slant = ((target - source).norm(dim=-1) / (target - source)[..., 1].abs()).reshape(1, 1, 9, 7)
    assert slant.max() > 1.02
    expected = closed_form({name: 2.0 * count * slant for name, count in layers.items()})
    image = render(drr, pose, SYSTEM)
    # Joseph reads the layers as ramps between their middles; at their outer faces, half a voxel is left out.
    assert torch.allclose(image, expected, rtol=1e-6 if renderer == "siddon" else 0.05)
    counts = render(drr, pose, SYSTEM.replaced(dose_ugy=1.0), quantity="counts")
    open_field = counts / torch.exp(-image)
    assert torch.allclose(open_field, open_field[..., :1, :1].expand_as(open_field), rtol=1e-9)


def test_a_cylinder_of_water():
    views = cone_views(15, 21, delx=9.0, angles=((0.4, 0.2, -0.3),))
    radius = 60.0
    scene = Scene([Cylinder((0, 0, -400), (0, 0, 400), radius, material="water")])
    source, target = views.rays()
    start, way = source[..., :2], (target - source)[..., :2]
    # |start + t way| = radius
    a, b, c = (way * way).sum(-1), (start * way).sum(-1), (start * start).sum(-1) - radius**2
    chord = 2 * (b * b - a * c).clamp(min=0).sqrt() / a * (target - source).norm(dim=-1)
    expected = closed_form({"water": chord.reshape(1, 1, 15, 21)})
    assert (chord == 0).any()
    assert chord.max() > 119
    assert torch.allclose(render(scene, views, SYSTEM), expected, rtol=1e-6, atol=1e-12)


def test_a_ct_of_a_cylinder_comes_near_it():
    spacing, radius = 2.0, 40.0
    at = (torch.arange(48, dtype=torch.float64) - 23.5) * spacing
    fine = (torch.arange(48 * 8, dtype=torch.float64) - 191.5) * spacing / 8
    inside = ((fine[:, None] ** 2 + fine**2) <= radius**2).double()
    share = inside.reshape(48, 8, 48, 8).mean((1, 3))
    hu = (-1000 + 1000 * share)[:, :, None].expand(48, 48, 60).contiguous()
    drr = drr_of(subject_of(hu, spacing), 1, 41, 2.0, renderer="siddon")
    pose = pose_of((0.0, 0.0, 0.0))
    scene = Scene([Cylinder((0, 0, -60), (0, 0, 60), radius, material="water")])
    apart = render(drr, pose, SYSTEM) - render(scene, ConeViews(drr.detector, pose), SYSTEM)
    assert at.abs().max() > radius
    assert apart.abs().mean() < 0.01


def test_beam_hardening_cups():
    """In line integrals of a cylinder, over its chord, the middle is lower than the edge; at one energy it is not."""
    views = cone_views(1, 61, delx=2.0)
    scene = Scene([Cylinder((0, 0, -100), (0, 0, 100), 50.0, material="water")])
    chord = path_lengths(scene, views, SLABS).lengths
    inside = chord[0, 0, 0] > 20
    hard = (render(scene, views, SYSTEM) / chord)[0, 0, 0][inside]
    assert hard.min() < 0.95 * hard.max()
    assert hard.argmin() in (len(hard) // 2, len(hard) // 2 - 1)
    one = Physics(Spectrum.monochromatic(60.0), tissues=SLABS)
    flat = (render(scene, views, one) / chord)[0, 0, 0][inside]
    assert torch.allclose(flat, flat[:1].expand_as(flat), rtol=1e-12)


def scene_of_all():
    labels = torch.zeros(20, 20, 20, dtype=torch.int16)
    labels[8:12, 8:12, 6:14] = 1
    hu = torch.full((20, 20, 20), 30.0, dtype=torch.float64)
    hu[labels == 1] = 900.0
    subject = subject_of(hu, 5.0, mask=labels)
    return subject, Scene(
        [
            Body(subject),
            Body(subject, labels=1, name="bone"),
            Capsule((-30, 0, 0), (30, 0, 10), 4.0, material="titanium"),
            Spheres([[10.0, 0.0, 30.0]], 6.0, material="tantalum"),
        ]
    )


def test_a_scene_is_one_sum_over_all_of_its_materials():
    subject, scene = scene_of_all()
    views = cone_views(12, 10, delx=12.0, angles=((0.2, 0.1, 0.0), (1.3, 0.0, 0.4)))
    seen = path_lengths(scene, views)
    assert set(seen.materials) == {"soft tissue", "cortical bone", "titanium", "tantalum"}
    energies, photons = beam().spectrum.energies_kev, beam().spectrum.photons
    exponent = torch.einsum("vmhw,me->vehw", seen.lengths, seen.attenuation(energies))
    left = (torch.exp(-exponent) * (photons * energies)[:, None, None]).sum(1) / (photons * energies).sum()
    assert torch.allclose(render(scene, views, beam())[:, 0], -torch.log(left), rtol=1e-10, atol=1e-12)
    # Every solid's own length, and nothing of the CT where solids are.
    solids = scene.render(views, channels=True)
    for name, body, place in (("titanium", 2, 2), ("tantalum", 3, 3)):
        mm = solids[:, place].double() / float(linear_attenuation(name, 60.0)[0])
        assert torch.allclose(seen.lengths[:, seen.materials.index(name)], mm, rtol=1e-6, atol=1e-9)
        assert scene.bodies[body].material == name
    alone = path_lengths(Scene([Body(subject)]), views)
    soft = seen.materials.index("soft tissue")
    assert (seen.lengths[:, soft] < alone.lengths[:, alone.materials.index("soft tissue")] + 30).all()


def test_at_one_energy_a_scene_is_the_sum_of_its_bodies():
    """With a CT of water and bone, whose mixtures are linear in HU between nodes, as holes' fillings are."""
    subject, _ = scene_of_all()
    bodies = [Body(subject), Capsule((-30, 0, 0), (30, 0, 10), 4.0, material="titanium")]
    scene, views = Scene(bodies, energy_kev=70.0), cone_views(12, 10, delx=12.0)
    physics = Physics(Spectrum.monochromatic(70.0), tissues=Tissues.water_and_bone())
    assert torch.allclose(render(scene, views, physics).float(), scene.render(views), rtol=1e-5, atol=1e-6)


def test_a_bone_that_stays_where_it_was_changes_nothing():
    subject, _ = scene_of_all()
    views = cone_views(12, 10, delx=12.0)
    whole, parts = Scene([Body(subject)]), Scene([Body(subject), Body(subject, labels=1, name="bone")])
    assert torch.allclose(render(parts, views, beam()), render(whole, views, beam()), rtol=1e-9, atol=1e-12)
    moved = render(parts, views, beam(), poses={"bone": shifted(10.0)})
    assert (moved - render(whole, views, beam())).abs().max() > 0.05


def test_derivatives_by_the_poses_of_bodies_are_exact():
    scene = Scene(scene_of_all()[1].bodies[:3])
    views = cone_views(4, 3, delx=30.0)

    def image(translation):
        matrix = torch.eye(4, dtype=torch.float64) + torch.nn.functional.pad(translation[:, :, None], (3, 0, 0, 1))
        return render(scene, views, beam(), poses={"bone": RigidTransform(matrix), "capsule": RigidTransform(matrix)})

    shift = torch.tensor([[1.1, -2.3, 3.2]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(image, (shift,), eps=1e-6, rtol=1e-4, atol=1e-6)


def test_materials_of_scenes_need_names():
    scene = Scene([Capsule((-30, 0, 0), (30, 0, 10), 4.0, material=0.05)])
    with pytest.raises(ValueError, match=r"Expected the name of the material of 'capsule'.*Got 0\.05"):
        render(scene, cone_views(4), beam())


def test_a_scene_without_a_ct_is_a_drr_of_nothing_else():
    _, scene = scene_of_all()
    drr = DRR(scene.bodies[0].subject, 1020.0, 8, 12.0, renderer="joseph")
    pose = pose_of((0.1, 0.0, 0.0))
    views = ConeViews(drr.detector, pose)
    assert torch.equal(render(Scene([Body(drr.subject)]), views, beam()), render(drr, pose, beam()))


@pytest.mark.peers
def test_a_polychromatic_image_of_a_mesh_is_that_of_gvxr(gvxr):
    rows, columns, pixel = 60, 80, 1.5
    views = cone_views(rows, columns, delx=pixel, angles=((0.9, 0.3, -0.2),))
    points, faces = icosphere(1.0, 4)
    body = Mesh((points * [20.0, 14.0, 30.0], faces), material="aluminium", pose=shifted(4.0, -8.0, 6.0))
    physics = Physics(Spectrum.tube(80.0))
    ours = render(Scene([body]), views, physics)[0, 0].numpy()

    source, target = views.rays()
    target = target.reshape(rows, columns, 3).numpy()
    gvxr.resetBeamSpectrum()
    for energy, photons in zip(physics.spectrum.energies_kev.tolist(), physics.spectrum.photons.tolist(), strict=True):
        gvxr.addEnergyBinToSpectrum(energy, "keV", photons)
    gvxr.usePointSource()
    gvxr.setSourcePosition(*source.flatten().tolist(), "mm")
    gvxr.setDetectorPosition(*target.mean((0, 1)).tolist(), "mm")
    gvxr.setDetectorUpVector(*((target[0, 0] - target[1, 0]) / pixel).tolist())
    gvxr.setDetectorRightVector(*((target[0, 1] - target[0, 0]) / pixel).tolist())
    gvxr.setDetectorNumberOfPixels(columns, rows)
    gvxr.setDetectorPixelSize(pixel, pixel, "mm")
    corners = body.pose(body.vertices[None])[0]
    gvxr.makeTriangularMesh("egg", corners.flatten().tolist(), body.faces.flatten().tolist(), "mm")
    gvxr.addPolygonMeshAsInnerSurface("egg")
    gvxr.setElement("egg", 13)
    gvxr.setDensity("egg", 2.699, "g/cm3")
    energy = np.array(gvxr.computeXRayImage(True))[::-1]  # its first row is the lowest
    theirs = -np.log(energy / energy.max())
    inside = ours > 0.5
    apart = np.abs(theirs / np.where(inside, ours, 1.0) - 1)[inside]
    assert inside.sum() > 500
    assert np.percentile(apart, 99) < 1e-3  # its cross sections are xraylib's
    assert math.isclose(theirs.max(), ours.max(), rel_tol=1e-3)
