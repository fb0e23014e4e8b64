"""Materials: what X-rays lose in them, against figures from elsewhere."""

import pytest
import torch

from raygrad.data import hu_to_attenuation
from raygrad.scene import MATERIALS, attenuation_of

# Mass attenuation coefficients in cm2/g, J. H. Hubbell and S. M. Seltzer, NISTIR 5632, tables 3 and 4, times density.
NIST = [
    ("titanium", 60, 0.7661 * 4.506),
    ("titanium", 100, 0.2721 * 4.506),
    ("aluminium", 30, 1.128 * 2.699),
    ("aluminium", 60, 0.2778 * 2.699),
    ("aluminium", 150, 0.1378 * 2.699),
    ("copper", 80, 0.7630 * 8.96),
    ("gold", 100, 5.158 * 19.32),
    ("tungsten", 100, 4.438 * 19.3),
    ("lead", 50, 8.041 * 11.35),
    ("lead", 100, 5.549 * 11.35),
    ("tantalum", 100, 4.302 * 16.65),
    ("water", 60, 0.2059),
    ("cortical bone", 60, 0.3148 * 1.92),
    ("pmma", 60, 0.1924 * 1.19),
    ("polyethylene", 60, 0.1970 * 0.935),
    ("air", 60, 0.1875 * 0.001205),
]


@pytest.mark.parametrize(("material", "energy_kev", "per_cm"), NIST)
def test_attenuation_is_nists(material, energy_kev, per_cm):
    assert attenuation_of(material, energy_kev) == pytest.approx(per_cm / 10, rel=0.005)


def test_an_alloy_is_the_mean_of_its_elements_by_mass():
    iron, chromium = 1.205, 0.9640  # at 60 keV, cm2/g; nickel 1.512, molybdenum 4.274
    expected = (0.655 * iron + 0.17 * chromium + 0.12 * 1.512 + 0.025 * 4.274 + 0.02 * 1.060 + 0.01 * 0.3207) * 0.8
    assert attenuation_of("stainless steel", 60) == pytest.approx(expected, rel=0.002)


@pytest.mark.parametrize("material", ["lead", "gold", "tungsten", "tantalum", "platinum"])
def test_attenuation_jumps_at_the_k_edge_and_nowhere_else(material):
    values = torch.tensor([attenuation_of(material, energy / 4) for energy in range(80, 601)])
    steps = values[1:] / values[:-1]
    assert (steps > 1.5).sum() == 1
    assert ((steps > 0.9) & (steps < 1)).sum() == len(steps) - 1


@pytest.mark.parametrize("energy_kev", [20, 33.3, 60, 150])
def test_water_is_that_of_the_ct(energy_kev):
    assert attenuation_of("water", energy_kev) == pytest.approx(hu_to_attenuation(torch.zeros(1), energy_kev).item())


@pytest.mark.parametrize(
    ("material", "energy_kev", "per_cm"),
    [
        ("titanium", 70, 0.53612 * 4.506),
        ("lead", 95, 6.3209 * 11.35),
        ("tantalum", 65, 2.9091 * 16.65),
        ("tungsten", 75, 9.2228 * 19.3),
        ("gold", 35, 18.380 * 19.32),
    ],
)
def test_energies_between_those_of_the_table(material, energy_kev, per_cm):
    """XrayDB's own values there."""
    assert attenuation_of(material, energy_kev) == pytest.approx(per_cm / 10, rel=0.002)


@pytest.mark.parametrize(
    ("name", "same"),
    [("Ti", "titanium"), ("Cortical_Bone", "cortical bone"), ("CoCr", "cobalt-chrome"), ("Aluminum", "aluminium")],
)
def test_other_names(name, same):
    assert attenuation_of(name, 80) == attenuation_of(same, 80)


def test_numbers_and_tensors_are_attenuation_as_they_are():
    assert attenuation_of(0.25, 10) == 0.25
    value = torch.tensor([0.5], requires_grad=True)
    attenuation_of(value).backward()
    assert value.grad.item() == 1.0


@pytest.mark.parametrize(
    ("material", "energy_kev", "message"),
    [
        ("unobtainium", 60, "alumina, aluminium.*unobtainium"),
        ("titanium", 9.9, "from 10 to 150"),
        (-1.0, 60, "at least 0"),
        (float("nan"), 60, "at least 0"),
        (torch.ones(2), 60, "one floating-point number"),
    ],
)
def test_what_is_no_material_is_refused(material, energy_kev, message):
    with pytest.raises(ValueError, match=message):
        attenuation_of(material, energy_kev)


@pytest.mark.parametrize("material", MATERIALS)
def test_every_material_loses_less_at_higher_energies_but_for_edges(material):
    assert attenuation_of(material, 90) > attenuation_of(material, 120) > 0
