"""Sensors: what they absorb of photons, and what they make of it."""

import dataclasses
import math

import pytest
import torch

from raygrad._attenuation import linear_attenuation
from raygrad.physics import SENSORS, Sensor, Spectrum, sensor_named

ENERGIES = torch.linspace(10, 150, 141, dtype=torch.float64)


def test_caesium_iodide_absorbs_what_its_share_of_the_layer_stops():
    # 60 keV: 7.921 cm2/g (NIST), 4.51 g/cm3, three quarters of 0.06 cm
    expected = 1 - math.exp(-7.921 * 4.51 * 0.75 * 0.06)
    assert sensor_named("CsI").absorbed(60.0).item() == pytest.approx(expected, rel=1e-3)
    assert sensor_named("csi").weights(60.0).item() == pytest.approx(60 * expected, rel=1e-3)


@pytest.mark.parametrize("name", SENSORS)
def test_every_sensor_weighs_by_energy_or_counts(name):
    sensor = sensor_named(name)
    absorbed, weights = sensor.absorbed(ENERGIES), sensor.weights(ENERGIES)
    assert absorbed.dtype == weights.dtype == torch.float64
    assert bool(((absorbed > 0) & (absorbed <= 1)).all())
    torch.testing.assert_close(weights, absorbed if sensor.counting else absorbed * ENERGIES, rtol=0, atol=0)
    assert sensor.counting == name.endswith("counting")
    if sensor.material is None:
        assert bool((absorbed == 1).all())
    else:
        depth = sensor.thickness_mm * sensor.packing
        expected = 1 - (-linear_attenuation(sensor.material, ENERGIES) * depth).exp()
        torch.testing.assert_close(absorbed, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("name", "edges"), [("csi", [33, 35]), ("gos", [50]), ("cdte-counting", [26, 31])])
def test_sensors_absorb_more_above_their_k_edges(name, edges):
    thin = dataclasses.replace(sensor_named(name), thickness_mm=0.01)
    rises = thin.absorbed(ENERGIES).diff() > 0
    assert ENERGIES[:-1][rises].tolist() == edges


def test_a_thin_layer_is_its_attenuation_times_its_thickness():
    thin = Sensor("selenium", 1e-9)
    expected = linear_attenuation("selenium", ENERGIES) * 1e-9
    torch.testing.assert_close(thin.absorbed(ENERGIES), expected, rtol=1e-7, atol=0)
    assert bool((Sensor("selenium", 0.0).absorbed(ENERGIES) == 0).all())


def test_gradients_of_thickness_packing_and_energy():
    thickness, packing, energy = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.55, 0.75, 48.2))
    assert torch.autograd.gradcheck(
        lambda mm, share, kev: Sensor("csi", mm, share).weights(kev), (thickness, packing, energy)
    )


def test_a_signal_is_what_a_spectrum_leaves_in_a_sensor():
    beam = Spectrum.tube(70, {"aluminium": 24.0})  # RQA5
    signal = [(beam.photons * sensor_named(name).weights(beam.energies_kev)).sum().item() for name in ("ideal", "csi")]
    assert signal[0] == pytest.approx((beam.photons.sum() * beam.mean_energy()).item(), rel=1e-12)
    assert 0.75 < signal[1] / signal[0] < 0.9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: sensor_named("film"),
            "sensor of csi, gos, selenium, cdte-counting, ideal, ideal-counting. Got 'film'",
        ),
        (lambda: Sensor("cheese", 1.0), "Got 'cheese'"),
        (lambda: Sensor("csi", -0.1), "thickness_mm of at least 0. Got -0.1"),
        (lambda: Sensor("csi"), "thickness_mm of at least 0. Got inf"),
        (lambda: Sensor("csi", math.nan), "thickness_mm of at least 0"),
        (lambda: Sensor("csi", torch.ones(2)), "thickness_mm as one number"),
        (lambda: Sensor("csi", 0.6, packing=1.2), "packing above 0 and up to 1. Got 1.2"),
        (lambda: sensor_named("csi").weights(5.0), "energies_kev from 10 to 150. Got 5"),
    ],
)
def test_what_is_no_sensor_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
