"""The polychromatic method: its model's derivatives, and what it promises as a method."""

import pytest
import torch
from beam_cases import make_physics
from reconstruction_cases import make_geometry, make_scene, make_views, relative_error

from raygrad import Projector
from raygrad._attenuation import linear_attenuation
from raygrad.physics import Physics, Sensor, Spectrum, Tissues, WaterCorrection, line_integrals, sensor_named
from raygrad.reconstruction import OsSart, Polychromatic, PolychromaticProjector, reconstruct
from raygrad.testing import check_solver

pytestmark = pytest.mark.usefixtures("one_thread")
ONE_ENERGY = Physics(Spectrum.monochromatic(60.0), sensor_named("ideal"))


@pytest.fixture(scope="module")
def physics():
    return make_physics(100.0)


@pytest.fixture(scope="module")
def tiny(physics):
    """A projector of few voxels, and a volume with air, fat, water, mixtures and bone in it."""
    projector = Projector(make_geometry(4), make_views(2, 5, torch.float64))
    generator = torch.Generator().manual_seed(0)
    volume = 0.06 * torch.rand(4, 4, 4, generator=generator, dtype=torch.float64)
    return PolychromaticProjector.of(projector, physics, reference_kev=60), volume


def test_keeps_what_methods_promise():
    check_solver(Polychromatic(physics=ONE_ENERGY), iterations=5)


def test_a_single_energy_is_linear(tiny):
    model, volume = tiny
    linear = PolychromaticProjector.of(model.projector, ONE_ENERGY)
    assert linear.reference_kev == 60.0
    soft = make_physics(45.0)  # of 33 keV on average, where no CT tells bone from water
    assert PolychromaticProjector.of(model.projector, soft).reference_kev == 40.0
    torch.testing.assert_close(linear(volume), model.projector(volume), rtol=1e-10, atol=1e-12)


def test_is_the_sum_over_energies_of_materials(tiny, physics):
    model, volume = tiny
    densities = model.densities(volume)
    assert (densities > 0).any(dim=(1, 2, 3)).all()
    mu = torch.stack([linear_attenuation(material, 60.0).reshape(()) for material in ("water", "cortical bone")])
    torch.testing.assert_close(torch.einsum("mxyz,m->xyz", densities, mu), volume, rtol=1e-10, atol=1e-12)
    energies = physics.spectrum.energies_kev
    weights = (physics.spectrum.photons * physics.sensor.weights(energies))[None]
    lengths = torch.stack([model.projector(part) for part in densities], dim=1)
    attenuation = torch.stack([linear_attenuation(material, energies) for material in ("water", "cortical bone")])
    expected = line_integrals(lengths, attenuation, weights)[:, 0]
    torch.testing.assert_close(model(volume), expected, rtol=1e-10, atol=1e-12)


def test_derivatives_are_exact(tiny):
    model, volume = tiny
    assert torch.autograd.gradcheck(model, (volume.clone().requires_grad_(),))
    at = model.at(volume)
    torch.testing.assert_close(at.line_integrals, model(volume), rtol=1e-12, atol=1e-12)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(at.line_integrals.shape, generator=generator, dtype=torch.float64)
    change = torch.randn(volume.shape, generator=generator, dtype=torch.float64)
    value, gradient = torch.func.vjp(model, volume)
    torch.testing.assert_close(at.adjoint(images), gradient(images)[0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close((at(change) * images).sum(), (change * at.adjoint(images)).sum(), rtol=1e-10, atol=0)


def test_derivatives_by_the_tube_are_exact(tiny):
    model, volume = tiny

    def shown(kvp, aluminium, thickness):
        physics = Spectrum.tube(kvp, {"aluminium": aluminium}), Sensor("csi", thickness)
        return PolychromaticProjector.of(model.projector, physics, reference_kev=60)(volume)[:1, 2:3]

    at = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (81.3, 2.0, 0.5)]
    assert torch.autograd.gradcheck(shown, at)
    with pytest.raises(ValueError, match="without a gradient"):
        WaterCorrection.of(Spectrum.tube(at[0]), Sensor("csi", 0.5))


@pytest.mark.parametrize("photons", [None, 1e4])
def test_the_objective_falls_to_that_of_the_truth(physics, photons):
    projector, truth, one_energy = make_scene(torch.float64, n_views=16, size=12, pixels=20)
    model = PolychromaticProjector.of(projector, physics, reference_kev=60)
    images = model(truth)
    method = Polychromatic(physics=physics, reference_kev=60, n_subsets=1, photons=photons, decay=1)
    result = method(projector, images, iterations=6)
    objectives = [iteration.objective for iteration in result.history]
    assert objectives == sorted(objectives, reverse=True)
    quick = Polychromatic(physics=physics, reference_kev=60, photons=photons)(projector, images, iterations=8)
    linear = OsSart()(projector, one_energy, iterations=8)
    assert quick.residual < linear.residual
    assert relative_error(quick.volume, truth) < relative_error(linear.volume, truth)
    at_truth = method(projector, images, iterations=1, start=truth)
    torch.testing.assert_close(at_truth.volume, truth, rtol=0, atol=1e-9)


def test_steps_get_shorter(physics):
    projector, truth, _ = make_scene(torch.float64, n_views=8, size=8, pixels=10)
    images = PolychromaticProjector.of(projector, physics)(truth)
    one, two = (Polychromatic(physics=physics, decay=1e-12)(projector, images, iterations=n).volume for n in (1, 2))
    torch.testing.assert_close(one, two, rtol=0, atol=1e-9)


def test_views_that_fdk_refuses_and_masks_are_taken(physics):
    projector, truth, _ = make_scene(torch.float32, n_views=12, size=12, pixels=20)
    some = projector[:5]
    images = PolychromaticProjector.of(some, physics)(truth)
    result = reconstruct(images, some.views, some.volume_geometry, physics=physics, iterations=10)
    assert result.residual < 0.08
    mask = torch.ones(some.range_shape, dtype=torch.bool)
    mask[:, 4:7, 5:9] = False
    spoiled = torch.where(mask, images, torch.nan)
    masked = reconstruct(spoiled, some.views, some.volume_geometry, physics=physics, mask=mask, iterations=10)
    assert masked.volume.isfinite().all()
    assert masked.residual < 0.08


def test_tissues_of_ones_own(physics):
    projector, truth, _ = make_scene(torch.float32, n_views=12, size=12, pixels=20)
    tissues = Tissues(metal=None, ct_energy_kev=65)
    model = PolychromaticProjector.of(projector, physics, tissues=tissues)
    assert model.reference_kev == 65
    result = reconstruct(
        model(truth), projector.views, projector.volume_geometry, physics=physics, tissues=tissues, iterations=10
    )
    assert result.residual < 0.04
    with pytest.raises(ValueError, match=r"as the tissues have it, 65, or not at all\. Got 70"):
        PolychromaticProjector.of(projector, physics, tissues=tissues, reference_kev=70)
    with pytest.raises(ValueError, match="contrast_labels"):
        PolychromaticProjector.of(projector, physics, tissues=Tissues(contrast_labels=(1,)))


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"physics": 120}, TypeError, "Expected a Physics"),
        ({"relaxation": 2}, ValueError, "relaxation between 0 and 2"),
        ({"decay": 0}, ValueError, "decay"),
        ({"photons": 0}, ValueError, "positive number of photons"),
        ({"n_subsets": 0}, ValueError, "at least 1 subset"),
    ],
)
def test_options_are_checked(physics, options, error, said):
    with pytest.raises(error, match=said):
        Polychromatic(**({"physics": physics} | options))


def test_a_checkpoint_of_another_spectrum_is_refused(tmp_path):
    projector, _, images = make_scene(torch.float32, n_views=8, size=8, pixels=10)
    options = {"iterations": 1, "checkpoint": tmp_path / "state"}
    start = images.new_zeros(8, 8, 8)
    first, other = (Polychromatic(physics=make_physics(kvp), reference_kev=60) for kvp in (100.0, 100.01))
    first(projector, images, start=start, **options)
    with pytest.raises(ValueError, match="other settings"):
        other(projector, images, start=start, **options)
