"""Materials of HU: what a CT says at its own energy stays what it is, whatever the materials."""

import copy
import pickle

import numpy as np
import pytest
import torch
from physics_cases import beam, body, drr_of, pose_of, subject_of

from raygrad.data import HounsfieldWarning, Volume, hu_to_attenuation, read
from raygrad.geometry import views_from
from raygrad.physics import PreparedTissues, Tissues, path_lengths, render
from raygrad.scene import Body, Scene

HU = torch.linspace(-1200, 3070, 4271, dtype=torch.float64).reshape(1, 1, -1)
IN_BLOOD = Tissues(contrast_labels=[2])


def relative(hu):
    return (1 + hu / 1000).clamp(min=0)


@pytest.mark.parametrize(
    "tissues",
    [
        Tissues(),
        Tissues(ct_energy_kev=55.0),
        Tissues(metal_from_hu=2500.0, metal="steel"),
        Tissues(nodes=[("water", 0.0), ("hydroxyapatite", None)]),
        Tissues.water_and_bone(),
    ],
)
def test_at_the_energy_of_the_ct_attenuation_is_what_the_hu_say(tissues):
    volumes = tissues.volumes(HU)
    mu = tissues.attenuation(tissues.ct_energy_kev)
    water = tissues.attenuation(tissues.ct_energy_kev, ["water"])
    assert torch.allclose(torch.einsum("mxyz,me->xyz", volumes, mu), float(water) * relative(HU), rtol=1e-13, atol=0)
    if not tissues.bilinear:
        assert (volumes >= 0).all()
    assert not volumes[..., HU[0, 0] <= -1000].any()


def test_contrast_agent_in_blood_keeps_the_hu_too():
    labels = torch.full(HU.shape, 2)
    volumes = IN_BLOOD.volumes(HU, labels)
    mu, water = IN_BLOOD.attenuation(70.0), float(IN_BLOOD.attenuation(70.0, ["water"]))
    assert torch.allclose(torch.einsum("mxyz,me->xyz", volumes, mu), water * relative(HU), rtol=1e-13, atol=0)
    there = {name for name, one in zip(IN_BLOOD.materials, volumes, strict=True) if one.any()}
    assert there == {"blood", "iohexol 300"}


def test_the_hu_of_dilute_contrast_agent_give_its_concentration_back():
    share = torch.tensor([0.0, 0.01, 0.05, 0.2], dtype=torch.float64)
    blood, agent, water = IN_BLOOD.attenuation(70.0, ["blood", "iohexol 300", "water"])[:, 0]
    hu = 1000 * (((1 - share) * blood + share * agent) / water - 1)
    volumes = IN_BLOOD.volumes(hu.reshape(1, 1, -1), torch.full((1, 1, 4), 2))
    place = IN_BLOOD.materials.index("iohexol 300")
    assert torch.allclose(volumes[place].flatten(), share, atol=1e-13)
    dilute = IN_BLOOD.attenuation(55.0, ["iodine"]) - 0.95 * IN_BLOOD.attenuation(55.0, ["blood"])
    assert torch.allclose(dilute, 0.05 * IN_BLOOD.attenuation(55.0, ["iohexol 300"]), rtol=1e-9)


def test_a_voxel_at_a_node_is_that_material_alone():
    tissues = Tissues()
    hu = torch.tensor([float(at) for _, at in tissues.nodes], dtype=torch.float64)
    volumes = tissues.volumes(hu.reshape(1, 1, -1))[:, 0, 0]
    expected = [tissues.materials.index(name) for name, _ in tissues.nodes]
    assert volumes.argmax(0).tolist() == expected
    assert torch.allclose(volumes.amax(0), volumes.sum(0), rtol=1e-12)
    full = [tissues.materials.index(name) for name in ("adipose", "cortical bone")]
    assert torch.allclose(volumes[full].amax(1), torch.ones(2, dtype=torch.float64))  # at their own density


def test_between_two_materials_voxels_are_mixtures_by_volume():
    tissues = Tissues(nodes=[("soft tissue", None), ("cortical bone", None)])
    (_, soft), (_, bone) = tissues.nodes
    hu = torch.tensor([soft + 0.25 * (bone - soft)], dtype=torch.float64).reshape(1, 1, 1)
    assert torch.allclose(tissues.volumes(hu)[:2].flatten(), torch.tensor([0.75, 0.25], dtype=torch.float64))


def test_noise_in_soft_tissue_makes_no_fat_and_no_bone():
    hu = 50 + 15 * torch.randn(10, 10, 10, generator=torch.Generator().manual_seed(0))
    assert PreparedTissues.of(subject_of(hu.clamp(1, 99))).materials == ("soft tissue",)


def test_derivatives_by_the_hu_are_exact_also_at_nodes():
    tissues = Tissues(contrast_labels=[1])
    hu = (body(lowest=-1200, highest=3000) + 0.25).requires_grad_()
    region = torch.randint(0, 5, hu.shape, generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    assert torch.autograd.gradcheck(lambda values: tissues.volumes(values, region=region), (hu,))
    at_node = torch.tensor([[[0.0, 100.0]]], dtype=torch.float64, requires_grad=True)
    soft = tissues.materials.index("soft tissue")
    (slope,) = torch.autograd.grad(tissues.volumes(at_node, region=torch.zeros(1, 1, 2))[soft].sum(), at_node)
    just_right = tissues.volumes(at_node + 1e-3, region=torch.zeros(1, 1, 2)) - tissues.volumes(
        at_node, region=torch.zeros(1, 1, 2)
    )
    assert torch.allclose(slope, just_right[soft].detach() / 1e-3, rtol=1e-6)


def test_memory_order_and_whole_numbers():
    hu = body(dtype=torch.float32).round().permute(2, 1, 0).contiguous().permute(2, 1, 0)
    volumes = Tissues().volumes(hu)
    assert volumes.stride()[1:] == hu.stride()
    assert volumes.dtype == torch.float32
    assert torch.equal(Tissues().volumes(hu.to(torch.int16)), volumes)


def test_only_materials_that_are_there_are_kept():
    hu = torch.full((6, 6, 6), -1000.0)
    assert PreparedTissues.of(subject_of(hu)).volume.values.shape == (1, 6, 6, 6)
    hu[2:4, 2:4, 2:4] = 40
    prepared = PreparedTissues.of(subject_of(hu))
    assert prepared.materials == ("soft tissue",)
    assert int((prepared.volume.values != 0).sum()) == 8
    hu[0, 0, 0] = 400
    assert PreparedTissues.of(subject_of(hu)).materials == ("soft tissue", "cortical bone")


def clipped():
    hu = torch.full((8, 8, 8), -1000.0)
    hu[2:6, 2:6, 2:6] = 40
    hu[3:5, 3:5, 3:5] = 3071
    return hu


def test_voxels_where_the_numbers_end_are_told_and_taken_for_metal():
    with pytest.warns(HounsfieldWarning, match="8 voxels of the CT are at 3071 HU.*taken for titanium"):
        prepared = PreparedTissues.of(subject_of(clipped()))
    assert prepared.materials == ("soft tissue", "titanium")
    assert torch.equal(prepared.volume.values[1], (clipped() == 3071).float())


def test_the_metal_may_be_named_and_voxels_may_stay_bone():
    prepared = PreparedTissues.of(subject_of(clipped()), Tissues(metal="cobalt chrome", metal_from_hu=3071))
    assert prepared.materials == ("soft tissue", "cobalt-chrome")
    assert prepared.volume.values.max() == 1
    assert PreparedTissues.of(subject_of(clipped()), Tissues(metal=None)).materials[-1] == "cortical bone"
    hu = clipped()
    hu[3, 3, 3], hu[3, 3, 4] = 6000, 2999
    prepared = PreparedTissues.of(subject_of(hu), Tissues(metal="steel", metal_from_hu=3000))
    steel, water = prepared.tissues.attenuation(70.0, ["steel", "water"])[:, 0]
    assert torch.isclose(prepared.volume.values[-1, 3, 3, 3].double(), 7 * water / steel)
    assert prepared.volume.values[-1, 3, 3, 4] == 0


def test_numbers_that_no_body_has_are_told():
    hu = clipped()
    hu[hu == 3071] = 9000
    with pytest.warns(HounsfieldWarning, match="up to 9000 HU.*dense bone.*metal_from_hu=3000.*titanium"):
        prepared = PreparedTissues.of(subject_of(hu))
    assert prepared.materials[-1] == "cortical bone"
    assert PreparedTissues.of(subject_of(hu), Tissues(metal_from_hu=3000)).materials[-1] == "titanium"
    assert PreparedTissues.of(subject_of(hu), Tissues(metal=None)).materials[-1] == "cortical bone"


def test_dense_bone_is_no_metal():
    hu = clipped()
    hu[hu == 3071] = torch.tensor([3071.0, 3071, 3060, 3055, 3049, 3062, 3050, 3048])
    assert "titanium" not in PreparedTissues.of(subject_of(hu)).materials


def test_water_and_bone_is_the_density_of_read():
    hu = body(dtype=torch.float32, lowest=-1300, highest=3500)
    for kev, ct in ((30.0, 70.0), (60.0, 55.0), (110, 80)):
        tissues = Tissues.water_and_bone(ct)
        assert torch.equal(tissues.volume_at(hu, kev), hu_to_attenuation(hu, kev, ct))
        in_double = tissues.volume_at(hu.double(), kev)
        summed = torch.einsum("mxyz,me->xyz", tissues.volumes(hu.double()), tissues.attenuation(kev))
        assert torch.allclose(in_double, summed, rtol=1e-12)
        assert torch.allclose(in_double.float(), hu_to_attenuation(hu, kev, ct), rtol=1e-5, atol=1e-8)


def test_what_read_has_cut_away_is_air_and_not_water():
    hu, labels = body().round(), torch.zeros(9, 8, 7, dtype=torch.int16)
    labels[2:5, 2:5, 2:5] = 3
    subject = read(Volume(hu, np.diag([2.0, 2.0, 2.0, 1.0])), labels, labels=3)
    values = PreparedTissues.of(subject).volume.values
    assert values[:, labels == 3].any()
    assert not values[:, labels != 3].any()


@pytest.mark.parametrize("factor", [0.5, torch.tensor(0.5), torch.tensor([0.5], dtype=torch.float64)])
def test_a_material_may_be_of_another_density(factor):
    energies = torch.tensor([30.0, 80.0], dtype=torch.float64)
    usual, thin = (Tissues(densities=one).attenuation(energies) for one in ({}, {"bone": factor}))
    bone = Tissues().materials.index("cortical bone")
    assert torch.allclose(thin[bone], usual[bone] / 2, rtol=1e-15)
    assert torch.equal(thin[:bone], usual[:bone])
    assert torch.equal(Tissues(densities={"bone": factor}).volumes(HU), Tissues().volumes(HU))


def raw(hu):
    inside = body((20, 20, 20), lowest=-20, highest=80)
    hu = torch.full((20, 20, 20), -1000.0, dtype=torch.float64)
    hu[4:16, 4:16, 4:16] = inside[4:16, 4:16, 4:16]
    return hu


@pytest.mark.parametrize(
    ("hu", "said"),
    [
        (raw(None).round() + 1024, "stored without the rescaling: subtract 1000 or 1024.*ct.data - 1000"),
        (body(dtype=torch.float32, lowest=0, highest=255).to(torch.uint8), "uint8, in which there are none"),
        (body(lowest=-0.01, highest=0.05), "densities or attenuation have them.*hu = 1000"),
        (body(lowest=0, highest=1), "Got values from .* densities"),
    ],
)
def test_numbers_that_are_no_hu_are_refused(hu, said):
    with pytest.raises(ValueError, match=f"(?s)needs the CT in Hounsfield units.*{said}"):
        PreparedTissues.of(subject_of(hu))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"nodes": []}, "at least one node"),
        ({"nodes": [("cheese", 0.0)]}, "Expected a material of .*water.*Got 'cheese'"),
        ({"nodes": [("water", 0.0), ("adipose", -80.0)]}, "rising HU above -1000. Got water 0, adipose -80"),
        ({"nodes": [("water", -1000.0)]}, "rising HU above -1000"),
        ({"nodes": [("water", float("nan"))]}, "rising HU"),
        ({"ct_energy_kev": 30.0}, "ct_energy_kev from 40 to 150. Got 30"),
        ({"metal": "unobtainium"}, "Expected a material"),
        ({"metal": None, "metal_from_hu": 2000.0}, "Expected a metal"),
        ({"metal_from_hu": -1500.0}, "metal_from_hu above -1000"),
        ({"densities": {"cortical bone": -1.0}}, "at least 0 on the density of cortical bone. Got -1"),
        ({"densities": {"cortical bone": float("nan")}}, "Got nan"),
        ({"densities": {"snow": 1.0}}, "Expected a material"),
    ],
)
def test_tissues_that_make_no_sense_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        Tissues(**arguments)


def test_contrast_needs_its_labels():
    with pytest.raises(ValueError, match="Expected a CT with a mask for contrast_labels"):
        PreparedTissues.of(subject_of(body()), IN_BLOOD)
    mask = torch.zeros(9, 8, 7, dtype=torch.int16)
    with pytest.raises(ValueError, match=r"contrast_labels that voxels of the mask have: 0. Got \[2\]"):
        PreparedTissues.of(subject_of(body(), mask=mask), IN_BLOOD)
    mask[4] = 2
    there = PreparedTissues.of(subject_of(body(), mask=mask), IN_BLOOD)
    assert {"blood", "iohexol 300"} <= set(there.materials)


def test_materials_are_prepared_once_for_a_drr_and_anew_for_another_ct():
    drr = drr_of(body(dtype=torch.float32))
    first = path_lengths(drr, pose_of(dtype=torch.float32)).prepared
    again = path_lengths(drr, pose_of(dtype=torch.float32), Tissues()).prepared
    assert again.volume.values is first.volume.values
    other = path_lengths(drr, pose_of(dtype=torch.float32), Tissues(ct_energy_kev=60.0)).prepared
    assert other.volume.values is not first.volume.values
    drr.subject.volume.data[0, 4, 4, 4] = 3000
    changed = path_lengths(drr, pose_of(dtype=torch.float32)).prepared
    assert changed.volume.values[-1, 4, 4, 4] > 1.5
    assert path_lengths(drr.double(), pose_of()).lengths.dtype == torch.float64


@pytest.mark.parametrize("kind", ["DRR", "scene"])
def test_what_is_prepared_without_derivatives_has_them_later_and_does_not_travel(kind):
    ct = subject_of(body(dtype=torch.float32))
    pose = pose_of(dtype=torch.float32)
    views = views_from(drr_of(ct).detector, pose) if kind == "scene" else pose
    source = Scene([Body(ct)]) if kind == "scene" else drr_of(ct)
    before = len(pickle.dumps(source))
    factor = torch.tensor(1.0, requires_grad=True)
    with torch.inference_mode():
        path_lengths(source, views)
    render(source, views, beam(tissues=Tissues(densities={"bone": factor}))).sum().backward()
    assert factor.grad > 0
    assert len(pickle.dumps(source)) < before + 500
    shown = path_lengths(copy.deepcopy(source), views).lengths
    torch.testing.assert_close(shown, path_lengths(source, views).lengths, rtol=0, atol=0)


def test_scenes_of_inference_mode_and_of_other_cts_are_prepared_anew():
    ct = subject_of(body(dtype=torch.float32))
    views = views_from(drr_of(ct).detector, pose_of(dtype=torch.float32))
    scene = Scene([Body(ct)])
    expected = path_lengths(scene, views).lengths
    with torch.inference_mode():
        there = Scene([Body(subject_of(body(dtype=torch.float32)))])
        torch.testing.assert_close(path_lengths(there, views).lengths, expected)
    ct.volume.data[0, 4, 4, 4] = 3000
    assert path_lengths(scene, views).lengths.sum() > expected.sum()


@pytest.mark.parametrize(("below", "is_cut_off"), [(4, True), (5, False)])
def test_numbers_end_where_more_voxels_lie_than_just_below(below, is_cut_off):
    hu = torch.zeros(4, 4, 4)
    hu.view(-1)[:5] = 3071
    hu.view(-1)[5 : 5 + below] = 3060
    assert (Tissues().regions(hu) is not None) == is_cut_off
