"""Water and bone corrections of line integrals, against the sum over energies spelled out."""

import pytest
import torch
from beam_cases import MATERIALS, make_physics, polychromatic

from raygrad._attenuation import linear_attenuation
from raygrad.physics import BoneCorrection, Spectrum, WaterCorrection, sensor_named

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def physics():
    return make_physics()


@pytest.fixture(scope="module")
def water(physics):
    return WaterCorrection.of(physics.spectrum, physics.sensor, reference_kev=70)


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def at(energy):
    return torch.stack([linear_attenuation(material, energy).reshape(()) for material in MATERIALS])


@pytest.mark.parametrize("kvp", [40.0, 80.0, 150.0])
@pytest.mark.parametrize("sensor", ["csi", "cdte-counting"])
def test_water_is_exact_behind_water(kvp, sensor):
    physics = make_physics(kvp, sensor)
    correction = WaterCorrection.of(physics.spectrum, physics.sensor, reference_kev=60)
    mm = random(2, 50, 3) * 600
    shown = polychromatic(mm[None], physics, ("water",))
    torch.testing.assert_close(correction.path_mm(shown), mm, rtol=0, atol=1e-7)
    torch.testing.assert_close(correction(shown), mm * linear_attenuation("water", 60.0), rtol=1e-9, atol=1e-9)
    single = correction(shown.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), mm * linear_attenuation("water", 60.0), rtol=1e-6, atol=1e-6)


def test_water_corrects_nothing_of_a_single_energy():
    correction = WaterCorrection.of(Spectrum.monochromatic(63.0), sensor_named("gos"))
    assert correction.reference_kev == 63.0
    shown = random(100) * 9 - 0.5
    torch.testing.assert_close(correction(shown), shown, rtol=1e-12, atol=1e-12)


def test_water_grows_and_its_derivative_is_exact(water, physics):
    shown = torch.linspace(-1, water.highest, 5000, dtype=torch.float64)
    assert (water(shown).diff() > 0).all()
    at_some = (random(20) * water.highest).requires_grad_()
    assert torch.autograd.gradcheck(water, (at_some,))
    assert torch.autograd.gradgradcheck(water, (at_some,))
    (slope,) = torch.autograd.grad(water.path_mm(at_some).sum(), at_some)
    mm = water.path_mm(at_some.detach()).requires_grad_()
    (of_inverse,) = torch.autograd.grad(polychromatic(mm[None], physics, ("water",)).sum(), mm)
    torch.testing.assert_close(slope, 1 / of_inverse, rtol=1e-6, atol=0)


def test_water_is_the_same_with_and_without_a_graph(water, monkeypatch):
    shown = random(3, 4, 5).permute(2, 0, 1) * 8
    monkeypatch.setattr("raygrad.physics._water_correction.AT_ONCE", 7)
    assert torch.equal(water(shown), water(shown.clone().requires_grad_()))
    assert water(shown[:0]).shape == (0, 3, 4)


def test_water_goes_on_in_lines_beyond_its_table(water, physics):
    last = WaterCorrection.of(physics.spectrum, physics.sensor, reference_kev=70, beyond="linear", up_to_mm=300)
    inside, beyond = last.highest - 1e-9, last.highest + torch.tensor([1.0, 2.0], dtype=torch.float64)
    values = last(torch.cat([torch.tensor([inside, last.highest], dtype=torch.float64), beyond]))
    slope = float(last.slopes[-1]) * last.reference_attenuation
    torch.testing.assert_close(values[1:].diff(), torch.full((2,), slope).double(), rtol=1e-6, atol=0)
    below = water(torch.tensor([-2.0, -1.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(below[0], 2 * below[1])
    assert below[2] == 0
    with pytest.raises(ValueError, match=r"up to .*300 mm of water.*Got .*up_to_mm.*beyond='linear'"):
        WaterCorrection.of(physics.spectrum, physics.sensor, up_to_mm=300)(beyond)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beyond": "clamp"}, "beyond to be one of error, linear"),
        ({"up_to_mm": 0}, "positive length"),
        ({"up_to_mm": float("nan")}, "positive length"),
        ({"reference_kev": 5}, "from 10 to 150"),
        ({"material": "unobtainium"}, "unobtainium"),
    ],
)
def test_water_refuses(physics, options, said):
    with pytest.raises(ValueError, match=said):
        WaterCorrection.of(physics.spectrum, physics.sensor, **options)


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_images_that_are_no_numbers_are_refused(water, wrong):
    images = torch.ones(2, 3, 4)
    images[1, 1, 1] = wrong
    with pytest.raises(ValueError, match=r"Expected finite line integrals\. Got NaN or infinity in 1 of 24"):
        water(images)
    with pytest.raises(TypeError, match="float32 or float64"):
        water(torch.ones(3, dtype=torch.int64))
    with pytest.raises(TypeError, match="Got int for one of them"):
        WaterCorrection.of(3, sensor_named("csi"))


@pytest.mark.parametrize("kvp", [80.0, 120.0])
def test_bone_is_exact_behind_water_and_bone(kvp):
    physics = make_physics(kvp)
    correction = BoneCorrection(WaterCorrection.of(physics.spectrum, physics.sensor, reference_kev=70))
    mm = random(2, 2000) * torch.tensor([[300.0], [60.0]])
    expected = at(70.0) @ mm
    shown = polychromatic(mm, physics)
    assert (correction.water(shown) - expected).abs().max() > 0.2
    torch.testing.assert_close(correction(shown, mm[1]), expected, rtol=0, atol=1e-4)  # a table read linearly
    torch.testing.assert_close(correction(shown.float(), mm[1].float()).double(), expected, rtol=0, atol=1e-4)


def test_bone_without_bone_is_the_correction_for_water(water):
    shown = random(4, 5) * 8 - 0.2
    correction = BoneCorrection(water)
    assert torch.equal(correction(shown, torch.zeros_like(shown)), water(shown))
    assert torch.equal(correction(shown[:0], shown[:0]), shown[:0])


def test_bone_is_differentiable_in_both(water):
    # In the middle of the table's cells, between which slopes jump.
    shown = (torch.arange(3, 60, 9).double() * 0.05 + 0.01).requires_grad_()
    mm = (torch.arange(0, 70, 10).double() * 0.5 + 0.1).requires_grad_()
    correction = BoneCorrection(water)
    assert torch.autograd.gradcheck(correction, (shown, mm))
    with torch.no_grad():
        without_a_graph = correction(shown, mm)
    torch.testing.assert_close(without_a_graph, correction(shown, mm).detach(), rtol=0, atol=1e-14)


def test_bone_goes_on_in_lines_where_water_does(physics):
    correction = BoneCorrection(WaterCorrection.of(physics.spectrum, physics.sensor, up_to_mm=200, beyond="linear"))
    shown = correction.water.highest + torch.tensor([1.0, 2.0, 1e6], dtype=torch.float64)
    values = correction(shown, torch.full_like(shown, 20.0))
    torch.testing.assert_close(values.diff()[1], values.diff()[0] * (1e6 - 2))


def test_bone_refuses(water):
    correction, shown = BoneCorrection(water), torch.ones(3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"mm of bone of at least 0\. Got -1"):
        correction(shown, -shown)
    with pytest.raises(ValueError, match="shape"):
        correction(shown, shown[:2])
    with pytest.raises(ValueError, match="finite mm of bone"):
        correction(shown, shown * torch.nan)
