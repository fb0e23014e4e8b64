"""Cylinders in closed form, reconstructed: cupping and the dark band between bones before and after corrections."""

import pytest
import torch
from beam_cases import distances, make_grid, make_physics, make_views, measured, truth

from raygrad import Projector
from raygrad._attenuation import linear_attenuation
from raygrad.physics import Physics, Spectrum, sensor_named
from raygrad.reconstruction import PolychromaticProjector, correct_beam_hardening, reconstruct

pytestmark = pytest.mark.usefixtures("one_thread")
KEV = 70.0


@pytest.fixture(scope="module")
def physics():
    return make_physics(120.0, aluminium=2.5)


@pytest.fixture(scope="module")
def place():
    return make_views(dtype=torch.float64), make_grid()


@pytest.fixture(scope="module")
def images(physics):
    return measured(physics, bones=True)


def middle(result, volume):
    """HU of the slice where rays hardly rise."""
    return result.hounsfield(volume)[:, :, 2].double()


def cupping(volume, grid):
    """How much less there is in the middle than near the rim."""
    from_axis, _ = distances(grid)
    values = volume[:, :, 2]
    rim, core = values[(from_axis > 70) & (from_axis < 80)].mean(), values[from_axis < 15].mean()
    return float((rim - core) / rim)


def error(hu, grid, bones=True):
    """Root mean square within the water cylinder, but for its rim, in HU."""
    from_axis, _ = distances(grid)
    return float((hu - truth(grid, KEV, bones))[from_axis < 80].square().mean().sqrt())


def test_a_water_cylinder_is_flat(place):
    views, grid = place
    physics = make_physics(60.0, "ideal-counting", aluminium=0.5)  # soft, for cups as deep as they come
    result = correct_beam_hardening(measured(physics, bones=False), views, grid, physics, bone=False, reference_kev=KEV)
    before, after = cupping(result.before.volume, grid), cupping(result.after.volume, grid)
    assert before > 0.09
    assert abs(after) < 0.003
    from_axis, _ = distances(grid)
    hu = middle(result, result.after.volume)[from_axis < 80]
    assert abs(float(hu.mean())) < 1.5
    assert error(middle(result, result.after.volume), grid, bones=False) < 2
    assert result.after is result.water
    assert result.bone_mm is None
    assert result.line_integrals.shape == views_shape(views)
    assert result.reference_kev == KEV


def views_shape(views):
    return (len(views), *views.image_shape)


def test_the_band_between_bones_goes(physics, place, images):
    views, grid = place
    result = correct_beam_hardening(images, views, grid, physics, reference_kev=KEV)
    from_axis, from_bone = distances(grid)
    band, core = from_axis < 20, from_bone < 8
    water, both = (middle(result, volume) for volume in (result.water.volume, result.after.volume))
    bone = 1000 * (float(linear_attenuation("cortical bone", KEV) / linear_attenuation("water", KEV)) - 1)
    assert water[band].mean() < -8  # dark
    assert water[core].mean() > bone + 100
    assert abs(both[band].mean()) < 2
    assert abs(both[core].mean() - bone) < 10
    assert error(both, grid) < 0.7 * error(water, grid)
    assert float(result.bone_mm.max()) == pytest.approx(48, abs=4)  # both bones, one behind the other
    assert "water and bone, 70 keV" in repr(result)
    more = correct_beam_hardening(images, views, grid, physics, reference_kev=KEV, passes=2)
    assert error(middle(more, more.after.volume), grid) < 1.05 * error(both, grid)
    model = PolychromaticProjector.of(Projector(grid, views), physics, reference_kev=KEV)
    again = model.projector(model.densities(result.after.volume)[1])  # bone of the volume that was corrected last
    torch.testing.assert_close(more.bone_mm, again, rtol=1e-9, atol=1e-9)


def test_a_single_energy_needs_no_correction(place):
    views, grid = place
    physics = Physics(Spectrum.monochromatic(KEV), sensor_named("ideal"))
    images = measured(physics, bones=True, n_views=120)
    result = correct_beam_hardening(images, views, grid, physics)
    torch.testing.assert_close(result.line_integrals, images, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(result.after.volume, result.before.volume, rtol=0, atol=1e-9)


def test_the_polychromatic_fit_is_as_good_as_the_correction(physics, place, images):
    views, grid = place
    corrected = correct_beam_hardening(images, views, grid, physics, reference_kev=KEV)
    fitted = reconstruct(
        images.float(), make_views(dtype=torch.float32), grid, physics=physics, reference_kev=KEV, iterations=4
    )
    volumes = {
        "before": corrected.before.volume,
        "sirt": reconstruct(images, views, grid, method="os_sart", iterations=4).volume,
        "water": corrected.water.volume,
        "water and bone": corrected.after.volume,
        "fitted": fitted.volume,
    }
    errors = {name: error(middle(corrected, volume), grid) for name, volume in volumes.items()}
    assert errors["fitted"] <= errors["water and bone"] < errors["water"] < min(errors["before"], errors["sirt"])
    assert fitted.method == "polychromatic"
    residuals = [iteration.residual for iteration in fitted.history]
    assert residuals == sorted(residuals, reverse=True)
    from_axis, _ = distances(grid)
    assert abs(middle(corrected, fitted.volume)[from_axis < 20].mean()) < 3


def test_what_a_mask_hides_may_be_anything(physics, place, images):
    views, grid = place
    mask = torch.ones_like(images, dtype=torch.bool)
    mask[:, :, 40:44] = False
    few = {"views": views, "volume_geometry": grid, "physics": physics, "mask": mask, "method": "sirt", "iterations": 2}
    spoiled = correct_beam_hardening(torch.where(mask, images, torch.nan), **few)
    whole = correct_beam_hardening(images, **few)
    torch.testing.assert_close(spoiled.after.volume, whole.after.volume, rtol=0, atol=1e-12)
    assert spoiled.line_integrals.isfinite().all()


@pytest.mark.filterwarnings("ignore::raygrad.reconstruction.ReconstructionWarning")
def test_bad_arguments_are_refused(physics, place):
    views, grid = place
    images = torch.ones(views_shape(views), dtype=torch.float64)
    for options, error_type, said in [
        ({"passes": 0}, ValueError, "at least one pass"),
        ({"processes": 2}, ValueError, "one process"),
        ({"bone_from_hu": 5000}, ValueError, "rising HU"),
        ({"reference_kev": 20}, ValueError, "ct_energy_kev from 40 to 150"),
        ({"method": "sirrt"}, ValueError, "sirrt"),
        ({"up_to_mm": 10}, ValueError, "up_to_mm"),
    ]:
        with pytest.raises(error_type, match=said):
            correct_beam_hardening(images, views, grid, physics, **options)
    with pytest.raises(TypeError, match="Expected a Physics"):
        correct_beam_hardening(images, views, grid, 120)
    as_rendered = correct_beam_hardening(images[:, None], views, grid, physics, bone=False)
    assert as_rendered.line_integrals.shape == images.shape
    with pytest.raises(ValueError, match="finite"):
        correct_beam_hardening(images * torch.nan, views, grid, physics)


def test_names_lead_to_each_other(physics, place, images):
    views, grid = place
    with pytest.raises(ValueError, match=r"method='polychromatic'.*correct_beam_hardening"):
        reconstruct(images, views, grid, method="fdk", physics=physics)
    with pytest.raises(TypeError, match="Expected physics"):
        reconstruct(images, views, grid, method="polychromatic")
