"""Spectra of tubes, against SpekPy's and the standard's beam qualities, and what they are made of."""

import math

import pytest
import torch
from other_projects import import_peer

from raygrad._attenuation import composition_of, density_of, linear_attenuation
from raygrad.physics import Spectrum
from raygrad.physics._tungsten import HIGHEST_KV, LOWEST_KV, tungsten

DOUBLE = torch.float64

# SpekPy 2.5.4 as it comes, with bins of 0.25 keV (of 1 keV for tin, whose K edge is in a bin): kVp, angle, filters;
# first and second half-value layer in mm of aluminium, microgray, mean energy in keV, photons per mm2. Most lie between
# the voltages and angles of our table.
SPEKPY = [
    (40, 12, {"Al": 2.5}, 1.384, 1.7225, 18.841, 28.095, 199299),
    (50.5, 10, {"Al": 2.5}, 1.7944, 2.3779, 33.246, 32.542, 442847),
    (62.5, 9, {"Al": 3.0}, 2.4657, 3.3501, 41.834, 37.959, 707341),
    (70, 12, {"Al": 2.5}, 2.3967, 3.4599, 64.906, 39.402, 1101751),
    (75.3, 11, {"Al": 3.0, "Cu": 0.1}, 4.3361, 5.4628, 30.393, 46.663, 717597),
    (80, 16, {"Al": 2.5, "Cu": 0.3}, 6.2364, 7.1719, 17.631, 52.914, 499559),
    (90.5, 7.5, {"Al": 3.5}, 3.9949, 5.6578, 69.975, 48.924, 1587057),
    (100, 12, {"Al": 3.0}, 3.8154, 5.7448, 104.552, 50.115, 2312429),
    (111, 13, {"Al": 2.5, "Sn": 0.1}, 5.4614, 8.6763, 58.822, 60.340, 1498618),
    (120, 20, {"Al": 6.0}, 6.1192, 8.1752, 92.839, 58.934, 2470390),
    (133.3, 23, {"Al": 3.0, "Cu": 0.2}, 8.229, 9.9136, 93.634, 66.01, 2706689),
    (150, 5, {"Al": 3.0}, 6.8958, 9.5835, 150.055, 65.53, 3909632),
]


@pytest.mark.parametrize(("kvp", "angle", "filters", "first", "second", "kerma", "mean", "photons"), SPEKPY)
def test_tubes_are_spekpys(kvp, angle, filters, first, second, kerma, mean, photons):
    """Within what its two choices of attenuation differ by, which are not ours: 1 % of half-value layers."""
    spectrum = Spectrum.tube(kvp, filters, angle)
    assert spectrum.half_value_layer().item() == pytest.approx(first, rel=0.01)
    assert spectrum.half_value_layer(nth=2).item() == pytest.approx(second, rel=0.01)
    assert spectrum.air_kerma().item() == pytest.approx(kerma, rel=0.015)
    assert spectrum.mean_energy().item() == pytest.approx(mean, rel=0.004)
    assert spectrum.photons.sum().item() == pytest.approx(photons, rel=0.015)


# IEC 61267:2005, tables: the half-value layer of the beam RQR as filters make it, then those added for RQA and its own.
RQA = [
    (40, 1.42, 4, 2.2),
    (50, 1.78, 10, 3.8),
    (60, 2.19, 16, 5.4),
    (70, 2.58, 21, 6.8),
    (80, 3.01, 26, 8.2),
    (90, 3.48, 30, 9.2),
    (100, 3.97, 34, 10.1),
    (120, 5.00, 40, 11.6),
    (150, 6.57, 45, 13.3),
]


@pytest.mark.parametrize(("kvp", "first", "added", "expected"), RQA)
def test_beam_qualities_of_the_standard(kvp, first, added, expected):
    thin, thick = 1.0, 8.0  # mm of aluminium that make it RQR
    while thick - thin > 1e-4:
        middle = (thin + thick) / 2
        reached = Spectrum.tube(kvp, {"aluminium": middle}).half_value_layer().item() > first
        thin, thick = (thin, middle) if reached else (middle, thick)
    found = Spectrum.tube(kvp, {"aluminium": thin + added}).half_value_layer().item()
    assert found == pytest.approx(expected, rel=0.02)  # the standard has two digits, and tubes differ


@pytest.mark.peers
def test_a_half_value_layer_is_xraylibs():
    xraylib = import_peer("xraylib")
    for kvp, filters in ((60, {"Al": 3.0}), (75, {"Al": 3.0, "Cu": 0.1}), (120, {"Al": 3.0})):
        bare = Spectrum.tube(kvp, {})
        energies = bare.energies_kev.tolist()

        def mu(material, energies=energies):
            parts = [(xraylib.SymbolToAtomicNumber(of), share) for of, share in composition_of(material).items()]
            per_gram = [sum(share * xraylib.CS_Total(number, kev) for number, share in parts) for kev in energies]
            return torch.tensor(per_gram, dtype=DOUBLE) * density_of(material) / 10

        behind = bare.photons
        for material, mm in filters.items():
            behind = behind * (-mm * mu(material)).exp()
        spectrum = Spectrum(bare.energies_kev, behind)
        kerma = spectrum.air_kerma()
        layer = Spectrum.tube(kvp, filters).half_value_layer().item()
        left = Spectrum(bare.energies_kev, behind * (-layer * mu("aluminium")).exp()).air_kerma()
        assert (left / kerma).item() == pytest.approx(0.5, rel=0.002)


# --- laws


def test_the_second_layer_halves_again():
    spectrum = Spectrum.tube(80.0, {"aluminium": 2.5})
    layers = [spectrum.half_value_layer("copper", nth).item() for nth in (1, 2, 3)]
    assert layers == sorted(layers)  # what is left is harder
    for count in (1, 2, 3):
        left = spectrum.filtered("copper", sum(layers[:count])).air_kerma() / spectrum.air_kerma()
        assert left.item() == pytest.approx(0.5**count, rel=1e-12)


def test_one_energy_is_beer_and_lamberts_law():
    beam = Spectrum.monochromatic(60.0)
    mu = linear_attenuation("water", 60.0).item()
    assert beam.filtered("water", 25.0).photons.item() == pytest.approx(math.exp(-25 * mu), rel=1e-14)
    assert beam.half_value_layer("water", 2).item() == pytest.approx(math.log(2) / mu, rel=1e-12)
    assert beam.mean_energy().item() == 60.0
    # 60 keV, 0.03041 cm2/g: 1 / (100 / (6.241e15 keV a J) / 1e-3 kg a g) in microgray
    assert beam.air_kerma().item() == pytest.approx(60 * 0.03041 * 100 * 1.602176634e-16 * 1e3 * 1e6, rel=1e-3)


def test_filters_may_come_in_any_order_and_in_parts():
    one = Spectrum.tube(90.0, {"Al": 3.0, "Cu": 0.2})
    other = Spectrum.tube(90.0, {"copper": 0.1}).filtered("aluminum", 3.0).filtered("Cu", 0.1)
    torch.testing.assert_close(one.photons, other.photons, rtol=1e-12, atol=0)
    torch.testing.assert_close(one.photons, Spectrum.tube(90.0).filtered("copper", 0.2).photons, rtol=1e-12, atol=0)


def test_no_photon_has_more_than_the_voltage():
    for kvp in torch.linspace(40, 150, 331, dtype=DOUBLE):
        for angle in (5.0, 11.3, 21.0):
            energies, photons = tungsten(kvp, torch.tensor(angle, dtype=DOUBLE))
            assert bool((photons[energies - 0.5 >= kvp] == 0).all())
            assert bool((photons[energies - 0.5 < kvp] > 0).all())
    assert Spectrum.tube(70).energies_kev.tolist() == [10.5 + bin for bin in range(60)]
    assert Spectrum.tube(70.2).energies_kev[-1] == 70.5
    assert Spectrum.tube(torch.tensor(70.0)).energies_kev[-1] == 149.5
    torch.testing.assert_close(Spectrum.tube(torch.tensor(70.0)).photons[:60], Spectrum.tube(70).photons)


def test_more_voltage_gives_more_and_harder_photons():
    spectra = [Spectrum.tube(kvp) for kvp in range(LOWEST_KV, HIGHEST_KV + 1)]
    for measure in (Spectrum.air_kerma, Spectrum.mean_energy, Spectrum.half_value_layer):
        values = [measure(spectrum).item() for spectrum in spectra]
        assert values == sorted(values)
    steep = [Spectrum.tube(80.0, {"Al": 2.5}, angle) for angle in (5.0, 7.3, 9, 12.5, 17, 25)]
    assert [beam.half_value_layer().item() for beam in steep] == sorted(
        (beam.half_value_layer().item() for beam in steep), reverse=True
    )  # the heel


# --- gradients


def measured(kvp, aluminium, copper, angle):
    spectrum = Spectrum.tube(kvp, {"aluminium": aluminium, "copper": copper}, angle)
    assert spectrum.photons.dtype == DOUBLE
    found = (
        spectrum.photons.sum() / 1e3,
        spectrum.half_value_layer(),
        spectrum.half_value_layer("copper", 2),
        spectrum.air_kerma(),
        spectrum.mean_energy(),
        spectrum.filtered("water", aluminium * 10).photons[::7] / 1e3,
    )
    assert all(value.requires_grad for value in found)  # gradcheck leaves out those that do not
    return found


@pytest.mark.parametrize("kvp", [40.4, 70.0, 73.3, 100.0, 149.7])
@pytest.mark.parametrize("angle", [5.1, 11.2, 12.0])
def test_gradients_of_voltage_filters_and_angle(kvp, angle):
    inputs = [torch.tensor(value, dtype=DOUBLE, requires_grad=True) for value in (kvp, 2.5, 0.1, angle)]
    assert torch.autograd.gradcheck(measured, inputs)


def test_second_derivatives_of_a_half_value_layer():
    inputs = [torch.tensor(value, dtype=DOUBLE, requires_grad=True) for value in (73.3, 2.5)]
    assert torch.autograd.gradgradcheck(lambda kvp, mm: Spectrum.tube(kvp, {"Al": mm}).half_value_layer(nth=2), inputs)


def test_gradients_are_continuous_in_voltage_and_angle():
    def slopes(kvp, angle):
        inputs = [torch.tensor(value, dtype=DOUBLE, requires_grad=True) for value in (kvp, angle)]
        return torch.stack(torch.autograd.grad(Spectrum.tube(inputs[0], {"Al": 3.0}, inputs[1]).air_kerma(), inputs))

    for kvp, angle in ((80.0, 12.0), (69.0, 20.0)):
        before, after = slopes(kvp - 1e-7, angle - 1e-7), slopes(kvp + 1e-7, angle + 1e-7)
        torch.testing.assert_close(before, after, rtol=1e-5, atol=0)


def test_gradients_of_one_energy():
    energy = torch.tensor(61.7, dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.gradcheck(lambda kev: Spectrum.monochromatic(kev).half_value_layer("iodine"), energy)


# --- what is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Spectrum.tube(39.9), "kvp from 40 to 150. Got 39.9"),
        (lambda: Spectrum.tube(torch.tensor(151.0)), "kvp from 40 to 150. Got 151"),
        (lambda: Spectrum.tube(math.nan), "kvp from 40 to 150"),
        (lambda: Spectrum.tube(torch.tensor([60.0, 80.0])), "kvp as one real number"),
        (lambda: Spectrum.tube(70, anode_angle_deg=4.9), "anode_angle_deg from 5 to 25. Got 4.9"),
        (lambda: Spectrum.tube(70, {"cheese": 1.0}), "material of adipose, air, .*zirconium. Got 'cheese'"),
        (lambda: Spectrum.tube(70, {"aluminium": -0.1}), "mm of at least 0. Got -0.1"),
        (lambda: Spectrum.tube(70, {"aluminium": math.inf}), "mm of at least 0"),
        (lambda: Spectrum.tube(70, {"lead": 1e4}), "lets photons through. Got 10000 mm of lead"),
        (lambda: Spectrum.tube(30, anode="molybdenum"), "anode 'tungsten': .*mammography.*'molybdenum'"),
        (lambda: Spectrum.monochromatic(9.0), "kev from 10 to 150"),
        (lambda: Spectrum.tube(70).half_value_layer(nth=0), "nth as a whole number of at least 1. Got 0"),
        (lambda: Spectrum.tube(70).half_value_layer("cheese"), "Got 'cheese'"),
        (lambda: Spectrum(torch.tensor([30.0, 20.0]), torch.ones(2)), "energies_kev that rise"),
        (lambda: Spectrum(torch.tensor([5.0, 20.0]), torch.ones(2)), "energies_kev from 10 to 150. Got 5"),
        (lambda: Spectrum(torch.tensor([20.0, 30.0]), torch.tensor([1.0, -1.0])), "photons of at least 0"),
        (lambda: Spectrum(torch.tensor([20.0, 30.0]), torch.zeros(2)), "not all 0"),
        (lambda: Spectrum(torch.tensor([20.0, 30.0]), torch.tensor([1.0, math.nan])), "photons of at least 0"),
    ],
)
def test_what_is_no_spectrum_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
