"""Conditions that `raygrad.physics` makes: thick slices, what patients carry, scatter, few photons."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from condition_cases import body_with_spine, clean, small_detector

from raygrad._attenuation import linear_attenuation
from raygrad.data import Subject, Volume
from raygrad.evaluation import make_case
from raygrad.evaluation._conditions import implants, patients
from raygrad.evaluation._conditions.paths import FineDetector
from raygrad.evaluation._conditions.processing import aperture
from raygrad.evaluation._conditions.technique import ELECTRONIC_KEV, Technique, take
from raygrad.evaluation._starts import make_generator, true_pose
from raygrad.evaluation._targets import middles_of_vertebrae
from raygrad.physics import Spectrum, sensor_named


@pytest.fixture(scope="module")
def subject():
    """A body of slices of 2.5 mm, with lungs and three vertebrae."""
    return body_with_spine(49, 2.5, lambda away, z: away + z**2 < 1)


@pytest.fixture(scope="module", autouse=True)
def small_images():
    with small_detector():
        yield


# Thick slices


def test_thick_slices_are_means_of_fine_ones_where_these_lay(subject):
    patient = patients.thick(subject)
    fine, thick = subject.volume, patient.ct.volume
    assert patient.seen is subject
    assert thick.spatial_shape == (40, 38, 24)
    assert thick.spacing == (9.0, 9.0, 5.0)
    torch.testing.assert_close(thick.voxels[..., 3], fine.voxels[..., 6:8].mean(-1))
    # The middle of a thick slice is that of its fine ones: half way between them.
    middles = [fine.voxel_to_world.double() @ torch.tensor([4.0, 5.0, z, 1.0]).double() for z in (6.0, 7.0)]
    found = thick.voxel_to_world.double() @ torch.tensor([4.0, 5.0, 3.0, 1.0]).double()
    torch.testing.assert_close(found, (middles[0] + middles[1]) / 2)
    assert patient.ct.mask.has_grid_of(thick)
    assert torch.equal(torch.unique(patient.ct.mask.data), torch.unique(subject.mask.data))


def test_thick_slices_have_the_density_of_their_hu(subject):
    ct = patients.thick(subject).ct
    of = dict(zip(subject.volume.voxels.flatten().tolist(), subject.density.voxels.flatten().tolist(), strict=True))
    for hu, density in zip(ct.volume.voxels[7, 22].tolist(), ct.density.voxels[7, 22].tolist(), strict=True):
        assert hu not in of or density == pytest.approx(of[hu], abs=1e-6)
    mixed = ct.volume.voxels == (30 - 1000) / 2
    assert not mixed.any()  # the body is the same in all slices
    mixed = ct.volume.voxels == (30 - 700) / 2
    assert mixed.any()
    assert of[-700.0] < ct.density.voxels[mixed].unique().item() < of[30.0]


def test_slices_that_are_thick_already_become_twice_as_thick(subject):
    coarse = patients.thick(patients.thick(subject).ct).ct
    assert coarse.volume.spacing[2] == 10.0
    assert coarse.volume.spatial_shape[2] == 12


def test_xrays_are_of_the_fine_slices(subject):
    one, other = clean("r", "ap", subject), clean("f", "ap", subject)
    torch.testing.assert_close(one.xrays[0], other.xrays[0])
    assert one.drr.subject.volume.spatial_shape[2] == 24


# What patients carry


def test_screws_are_in_the_vertebrae_and_lean_inwards(subject):
    solids = implants.screws(subject)
    rods = [solid for solid in solids if isinstance(solid, implants.Capsule)]
    screws = [rod for rod in rods if rod.start[2] == rod.end[2]]
    assert len(screws) == 6
    assert len(rods) == 6 + 4
    for middle in middles_of_vertebrae(subject).values():
        near = [screw for screw in screws if abs(screw.start[2] - middle[2]) < 1]
        assert len(near) == 2
        assert sum(screw.start[0].item() - middle[0] for screw in near) == pytest.approx(0, abs=1e-6)
        for screw in near:
            assert screw.start[1] < middle[1] < screw.end[1]
            assert abs(screw.end[0] - middle[0]) < abs(screw.start[0] - middle[0])


def test_leads_lie_before_the_chest(subject):
    solids = implants.leads(subject)
    assert {solid.material for solid in solids} == {"steel"}
    origin, sides = subject.volume.voxel_to_world[:3, 3].double(), torch.tensor(subject.volume.spacing).double()
    front = origin[1] + 9 * torch.nonzero(subject.volume.voxels[20] > -300)[:, 0].max()
    for solid in solids:
        for end in (solid.start, solid.end):
            assert -200 < end[1] - front < 10
            x, y, z = ((end - origin) / sides).round().long().tolist()
            within = all(0 <= at < size for at, size in zip((x, y, z), subject.volume.spatial_shape, strict=True))
            assert not within or subject.volume.voxels[x, y, z] < 0  # in the air, never in the patient


def test_what_is_carried_displaces_what_it_is_in(subject):
    patient, detector = patients.same(subject), FineDetector(1020.0, 41, 2.0, 500)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that some leads are outside of the image is nothing to say
        with_it = patient.lengths(true_pose("lateral"), detector, ("leads", "screws"))
    without = patient.lengths(true_pose("lateral"), detector)
    assert {"titanium", "steel"} <= set(with_it.materials)
    of, before = (dict(zip(one.materials, one.lengths[0], strict=True)) for one in (with_it, without))
    titanium = of["titanium"]
    assert titanium.max().item() > 11  # two screws, or two rods, behind each other
    bone_lost = before["cortical bone"] - of["cortical bone"]
    assert bone_lost[titanium == 0].abs().max().item() < 1e-3
    assert bone_lost[titanium > 5].mean().item() > 1


def test_what_is_carried_is_in_the_xray_alone(subject):
    with_it, without = clean("q", "ap", subject), clean("f", "ap", subject)
    more = (with_it.xrays[0] - without.xrays[0])[0, 0]
    assert more.max().item() > 0.1
    assert more.min().item() > -0.02
    assert with_it.drr.subject is subject
    assert more[:, 15:25].max() == more.max()  # screws are in the middle


# How X-rays are taken


@pytest.fixture(scope="module")
def slab():
    """What the rays of a fine detector meet: path lengths of materials in place of those of a CT."""
    ct = Subject(Volume(torch.zeros(8, 8, 8), np.diag([10.0, 10.0, 10.0, 1.0])))
    seen = patients.same(ct).lengths(true_pose("ap"), FineDetector(1020.0, 200, 1.0, 10))

    def make(**lengths):
        names = tuple(name.replace("_", " ") for name in lengths)
        images = [torch.as_tensor(one, dtype=torch.float64).expand(200, 200) for one in lengths.values()]
        prepared = replace(seen.prepared, materials=names)
        return replace(seen, lengths=torch.stack(images)[None], materials=names, prepared=prepared)

    return make


def taken(seen, seed=0, **changes):
    return take(seen, replace(Technique(scatter=0.0, least_quanta=math.inf), **changes), make_generator(seed))


def test_an_image_without_noise_is_beers_law_over_the_spectrum(slab):
    spectrum, sensor = Spectrum.tube(100.0, {"aluminium": 3.0}), sensor_named("csi")
    weights = spectrum.photons * sensor.absorbed(spectrum.energies_kev) * spectrum.energies_kev
    share = (weights * torch.exp(-150 * linear_attenuation("water", spectrum.energies_kev))).sum() / weights.sum()
    image = taken(slab(water=150.0))
    assert image.shape == (100, 100)
    torch.testing.assert_close(image, torch.full_like(image, -math.log(share)), atol=1e-9, rtol=0)


def test_beams_harden(slab):
    lengths = [0.0, 1.0, 100.0, 300.0]
    nepers = torch.stack([taken(slab(water=length))[0, 0] for length in lengths])
    assert nepers[0].item() == pytest.approx(0, abs=1e-12)
    each = nepers[1:] / torch.tensor(lengths[1:])
    assert (each.diff() < 0).all()  # the more water, the less each further millimetre of it takes
    assert taken(slab(cortical_bone=1.0))[0, 0] > 2 * nepers[1]


def test_scatter_behind_a_slab_is_so_many_times_the_primary(slab):
    clear, scattered = (taken(slab(water=200.0), scatter=ratio) for ratio in (0.0, 2.0))
    share = torch.exp(clear - scattered) - 1
    assert share.mean().item() == pytest.approx(2.0, rel=1e-3)
    assert share[50, 50] > share[0, 50] > 0  # nothing scatters in from beyond the image


def test_exposure_control_gives_what_the_densest_rays_need(slab):
    dense = slab(water=300.0)
    clear = torch.exp(-taken(dense))
    for wanted in (8.0, 150.0):
        seen = torch.exp(-taken(dense, least_quanta=wanted)) / clear
        noise = (seen[5:-5, 5:-5].std() * math.sqrt(wanted)).item()
        # Electronics add to the noise of quanta; that of their energies is a little larger than that of their number.
        electronic = (2 * ELECTRONIC_KEV / 60) ** 2 / wanted
        assert 0.9 < noise / math.sqrt(1 + electronic) < 1.15
        assert seen.mean().item() == pytest.approx(1, abs=0.05)


def test_noise_is_the_seeds(slab):
    one, same, other = (taken(slab(water=100.0), least_quanta=20.0, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_low_dose_and_no_grid_are_what_they_are_called(subject):
    usual, faint, open_ = (make_case(letter, "ap", subject).xrays[0][0, 0] for letter in "fpo")
    clean_image = clean("f", "ap", subject).xrays[0][0, 0]
    dense = clean_image > clean_image.quantile(0.9)
    noise = [(image - clean_image)[dense].std().item() for image in (usual, faint)]
    assert noise[1] > 2 * noise[0]
    assert (open_[dense] < usual[dense] - 0.3).float().mean().item() > 0.9  # scatter fills what is dense


def test_all_of_it_is_in_8_bits_within_a_collimator(subject):
    image = make_case("s", "lateral", subject).xrays[0]
    assert len(image.unique()) <= 256
    assert (image.min().item(), image.max().item()) == (0.0, 1.0)
    within = aperture((40, 40), "lateral")
    assert (image[0, 0][~within] == 1).all()
    assert make_case("s", "lateral", subject).masks is None
