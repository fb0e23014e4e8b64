"""Registration by images that a physics makes: the images, their derivatives, and what of the physics X-rays tell."""

import math

import pytest
import torch
from physics_cases import body, drr_of, pose_of, subject_of
from table_cases import LUNG, Scan

from raygrad.data import Subject, Volume, read
from raygrad.geometry import views_from
from raygrad.march import Bodies, Marching
from raygrad.physics import AntiScatterGrid, Glare, Physics, Scatter, Spectrum, render, sensor_named
from raygrad.pose import RigidTransform, se3_exp_map
from raygrad.registration import (
    EstimatedExposure,
    GlobalCorrelation,
    LocalCorrelation,
    Stage,
    prepare_xrays,
    register,
    search,
)
from raygrad.registration._exposure import deviations_of
from raygrad.registration._inputs import bodies_of, physics_of_views
from raygrad.registration._problem.beam import TissueBeam, arriving, pixel_of
from raygrad.registration._problem.exposure import image_by_numbers, numbers_of, with_numbers
from raygrad.registration._problem.exposure_fit import AS_GIVEN, CURVE, STRAIGHT, Number, fit_exposure
from raygrad.registration._problem.model import models_of_cts
from raygrad.registration._problem.polychromatic import Polychromatic
from raygrad.registration._problem.tissue_cts import EVERYTHING, PATIENT, TissueCTs

pytestmark = pytest.mark.usefixtures("one_thread")

DOUBLE = torch.float64
JOSEPH = Marching("joseph")
TUBE = Physics(Spectrum.tube(80.0, {"aluminium": 3.0}), sensor_named("csi"))
VEILED = TUBE.replaced(scatter=Scatter(1.5), grid=AntiScatterGrid(), glare=Glare(0.05))
SCATTERED = TUBE.replaced(scatter=Scatter(1.0))
HERE = pose_of((0.05, 0.1, 0.02), (4.0, 800.0, -6.0))
OFF = RigidTransform(se3_exp_map(torch.tensor([[4.0, -3.0, 5.0, 0.02, -0.03, 0.02]], dtype=DOUBLE)) @ HERE.matrix)
QUICK = (
    Stage(32, GlobalCorrelation(), iterations=10, tolerance=0.5),
    Stage(64, LocalCorrelation(9), iterations=12, tolerance=0.02),
)


@pytest.fixture(scope="module")
def patient():
    """A trunk of 320 x 240 mm with lungs and bones of several sizes, in air; the label of one bone."""
    shape, spacing = (56, 44, 40), 7.0
    sides = [(torch.arange(count) - (count - 1) / 2) * spacing for count in shape]
    x, y, z = torch.meshgrid(*sides, indexing="ij")
    hu = torch.where((x / 160) ** 2 + (y / 120) ** 2 < 1, 40.0, -1000.0)
    spots = [
        ((-70, 10, 30), 45, -800.0), ((75, -5, 40), 40, -820.0), ((0, 70, 0), 22, 900.0), ((60, 40, -60), 16, 1200.0),
        ((-80, -50, -70), 20, 700.0), ((30, -70, 90), 14, 1400.0), ((-20, 20, -90), 25, -60.0),
        ((-60, 60, 99), 12, 900.0),
    ]  # fmt: skip
    for centre, radius, value in spots:
        distance = sum((axis - at) ** 2 for axis, at in zip((x, y, z), centre, strict=True)).sqrt()
        hu = torch.lerp(hu, torch.full_like(hu, value), ((radius - distance) / 14 + 0.5).clamp(0, 1))
    labels = ((x**2 + (y - 70) ** 2 + z**2) < 30**2).to(torch.uint8)
    volume = subject_of(hu, spacing).volume
    return Subject(volume, mask=Volume(labels, volume.affine))


@pytest.fixture(scope="module")
def camera(patient):
    return drr_of(patient, rows=64, columns=64, delx=7.0)


def taken(camera, physics, noise=0.005, gain=1.0, offset=0.0):
    """An X-ray of the patient from `HERE`."""
    lines = render(camera, HERE, physics)
    return offset + gain * (lines + noise * torch.randn(lines.shape, generator=torch.Generator().manual_seed(0)))


# --- images and derivatives ---


@pytest.mark.parametrize("physics", [TUBE, SCATTERED, VEILED], ids=["tube", "scatter", "all"])
def test_images_are_those_that_render_makes(physics):
    drr = drr_of(body(), rows=9, columns=7)
    bodies = bodies_of(drr, physics)
    assert isinstance(bodies, Bodies)
    seen = bodies.march([views_from(drr.detector, HERE)], JOSEPH)
    expected = render(drr, HERE, physics)
    assert torch.allclose(seen.reshape(1, 1, 9, 7), expected, rtol=1e-10, atol=1e-10)
    again, _ = bodies.march_with_jacobian([views_from(drr.detector, HERE)], JOSEPH)
    assert torch.allclose(again, seen, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("parallel", [False, True], ids=["cone", "parallel"])
def test_pixels_are_the_detectors(parallel):
    drr = drr_of(body(), rows=9, columns=7, delx=3.0, dely=5.0, parallel=parallel)
    views = views_from(drr.detector, HERE)
    assert pixel_of(views) == pytest.approx((5.0, 3.0), rel=1e-6)
    seen = bodies_of(drr, VEILED).march([views], JOSEPH)
    assert torch.allclose(seen.reshape(1, 1, 9, 7), render(drr, HERE, VEILED), rtol=1e-6, atol=1e-6)


def test_derivatives_by_the_pose_are_those_of_differences():
    drr = drr_of(body(), rows=5, columns=6)
    bodies, pivot = bodies_of(drr, TUBE), torch.tensor([3.0, -2.0, 5.0], dtype=DOUBLE)

    def seen(twist):
        to_pivot = torch.eye(4, dtype=DOUBLE)
        to_pivot[:3, 3] = pivot
        motion = to_pivot @ se3_exp_map(twist[None])[0] @ torch.linalg.inv(to_pivot)
        return bodies.march([views_from(drr.detector, RigidTransform(motion @ HERE.matrix))], JOSEPH)[0, 0]

    _, (derivatives,) = bodies.march_with_jacobian([views_from(drr.detector, HERE)], JOSEPH)
    found = derivatives.by_motion(pivot)[0]
    for number, axis in enumerate(torch.eye(6, dtype=DOUBLE)):
        step = 1e-6 * axis
        difference = (seen(step) - seen(-step)) / 2e-6
        assert torch.allclose(found[number], difference, rtol=1e-4, atol=1e-5 * float(difference.abs().max()))


def test_with_scatter_derivatives_lack_what_the_scatter_changes_alone():
    drr = drr_of(body(), rows=5, columns=6)
    paths = torch.rand(1, 3, 4, 5, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)) * 40
    materials = bodies_of(drr, VEILED).beam.materials[:3]
    beam, bare = TissueBeam.of(VEILED, materials), TissueBeam.of(TUBE, materials)
    image, found = beam.with_derivatives(paths, (2.0, 3.0))
    assert torch.allclose(image, beam.line_integrals(paths, (2.0, 3.0)), rtol=1e-12)
    _, primary = bare.with_derivatives(paths, (2.0, 3.0))
    share = torch.exp(-bare.line_integrals(paths, (2.0, 3.0)))
    everything = arriving(share, VEILED, (2.0, 3.0))
    assert torch.allclose(found, primary * 0.95 * share / everything, rtol=1e-12)
    step = torch.zeros_like(paths)
    step[0, 1, 2, 3] = 1e-5
    ahead, behind = (bare.line_integrals(paths + sign * step, (2.0, 3.0))[0, 0, 2, 3] for sign in (1, -1))
    assert primary[0, 1, 2, 3].item() == pytest.approx(((ahead - behind) / 2e-5).item(), rel=1e-7)


def test_coarser_volumes_give_coarser_images(camera):
    fine = bodies_of(camera, TUBE)
    coarse = fine.coarser(28.0)
    assert isinstance(coarse, Polychromatic)
    assert coarse.parts[0].values.shape[1:] == (28, 22, 20)
    views = [views_from(camera.detector, HERE)]
    both = [bodies.march(views, JOSEPH) for bodies in (fine, coarse)]
    assert (both[0] - both[1]).abs().mean() < 0.03 * both[0].mean()
    assert len(coarse) == 1


def test_structures_and_the_rest_make_the_whole(camera):
    xray = taken(camera, TUBE)
    prepared = prepare_xrays(xray, camera, HERE, physics=TUBE)
    models = models_of_cts(prepared, {"bone": [1]})
    assert models.apart is not None
    views = views_from(camera.detector, HERE)
    whole = models.together.bodies[0].march([views], JOSEPH)
    parts = models.apart.bodies[0].march([views, views], JOSEPH)
    assert torch.allclose(whole, parts, atol=2e-4)
    moved = views.moved(RigidTransform(se3_exp_map(torch.tensor([[9.0, 0, 0, 0, 0, 0]], dtype=DOUBLE))))
    assert (models.apart.bodies[0].march([views, moved], JOSEPH) - whole).abs().max() > 0.1


def test_the_patient_or_all_as_the_xray_tells():
    scan = Scan(shape=(128, 100, 40), spacing=(3.0, 3.0, 5.0)).torso(a=150).table(top=-92)
    scan.put(scan.ellipse(40, 30, 12, 9, (-60, -20)), LUNG).put(scan.ellipse(-60, 20, 9, 14, (10, 50)), 500.0)
    drr = drr_of(read(scan.volume()), rows=50, columns=50, delx=8.0)
    bare = drr_of(read(scan.volume(), remove_table=True), rows=50, columns=50, delx=8.0)
    side = pose_of((math.pi / 2 - 0.05, 0.0, 0.0), (0.0, 800.0, 0.0))
    for source, form in ((bare, PATIENT), (drr, EVERYTHING)):
        xray = render(source, side, TUBE)
        result = register(xray, drr, side, physics=TUBE, stages=QUICK, candidates=1)
        assert result.ct.form == form
        assert set(result.ct.scores) == {PATIENT, EVERYTHING}
        assert (result.ct.cut_out is not None) == (form == PATIENT)
    assert register(xray, drr, side, physics=TUBE, stages=QUICK, candidates=1, clean_ct=False).ct is None
    assert TissueCTs.of(prepare_xrays(xray, bare, side, physics=TUBE)) is None


# --- the fit by itself ---


def test_numbers_keep_their_bounds_and_what_is_known_of_them():
    kvp, factor = Number("kvp", 80.0, 20.0, 40.0, 150.0), Number("scatter", 1.5, 0.6)
    for number in (kvp, factor):
        u = torch.tensor(number.start, dtype=DOUBLE, requires_grad=True)
        value = number.value(u)
        assert value.item() == pytest.approx(number.expected)
        (slope,) = torch.autograd.grad(value, u)
        assert number.slope(number.start) == pytest.approx(slope.item())
        assert number.width * slope.item() == pytest.approx(number.deviation)
    assert 40 <= float(kvp.value(torch.tensor(-30.0))) < float(kvp.value(torch.tensor(30.0))) <= 150


def test_a_physics_with_other_numbers():
    changed = with_numbers(VEILED, {"kvp": 100.0, "filtration": 2.0, "scatter": 0.5})
    expected = Spectrum.tube(100.0, {"aluminium": 6.0})
    assert torch.equal(changed.spectrum.photons, expected.photons)
    assert changed.scatter.ratio == 0.5
    assert (changed.grid, changed.glare) == (VEILED.grid, VEILED.glare)
    assert with_numbers(TUBE, {}) is TUBE
    (known,) = numbers_of(VEILED, {"scatter": 0.5})
    assert (known.expected, known.deviation) == (1.5, 0.75)


def test_images_by_numbers_are_those_of_the_physics(camera):
    bodies = bodies_of(camera, VEILED)
    paths = bodies.path_lengths([views_from(camera.detector, HERE)], JOSEPH).double()
    image_of = image_by_numbers(bodies.beam, ["kvp", "scatter"], paths, (7.0, 7.0))
    for kvp, ratio in ((80.0, 1.5), (103.4, 0.2)):
        other = with_numbers(VEILED, {"kvp": kvp, "scatter": ratio})
        expected = bodies.seen_by(other).beam.line_integrals(paths, (7.0, 7.0))[0, 0]
        assert torch.allclose(image_of(torch.tensor([kvp, ratio], dtype=DOUBLE)), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("response", [AS_GIVEN, STRAIGHT, CURVE])
def test_without_errors_numbers_are_found_exactly(camera, response):
    bodies = bodies_of(camera, SCATTERED)
    paths = bodies.path_lengths([views_from(camera.detector, HERE)], JOSEPH).double()
    image_of = image_by_numbers(bodies.beam, ["kvp", "scatter"], paths, (7.0, 7.0))
    shown = image_of(torch.tensor([102.0, 1.8], dtype=DOUBLE))
    xray = shown if response == AS_GIVEN else 0.3 + 2.5 * shown
    numbers = numbers_of(SCATTERED, {"kvp": 20.0, "scatter": 0.7})
    nothing = torch.zeros(0, 64, 64)
    fit = fit_exposure(image_of, numbers, xray, torch.ones_like(xray), nothing, torch.zeros(0), response)
    assert fit.values["kvp"] == pytest.approx(102.0, abs=0.5)
    assert fit.values["scatter"] == pytest.approx(1.8, rel=0.01)
    assert all(share > 0.99 for share in fit.told.values())
    if response == STRAIGHT:
        assert fit.values["gain"] == pytest.approx(2.5, rel=0.01)
        assert fit.values["offset"] == pytest.approx(0.3, abs=0.01)


def test_what_the_image_does_not_tell_stays_as_it_was_expected(camera):
    """Of one material, through a curve that is unknown, an X-ray says nothing of kVp."""
    bodies = bodies_of(camera, TUBE)
    paths = bodies.path_lengths([views_from(camera.detector, HERE)], JOSEPH).double()
    place = bodies.beam.materials.index("soft tissue")
    alone = torch.zeros_like(paths)
    alone[:, place] = paths.sum(1)
    image_of = image_by_numbers(bodies.beam, ["kvp"], alone, (7.0, 7.0))
    noise = 0.01 * torch.randn(64, 64, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    xray = image_of(torch.tensor([110.0], dtype=DOUBLE)) + noise
    one, nothing = torch.ones_like(xray), torch.zeros(0, 64, 64)
    numbers = numbers_of(TUBE, {"kvp": 20.0})
    fit = fit_exposure(image_of, numbers, xray, one, nothing, torch.zeros(0), CURVE)
    assert fit.values["kvp"] == pytest.approx(80, abs=1)
    assert fit.deviations["kvp"] > 10
    exposure = EstimatedExposure(TUBE, fit.values, fit.deviations, fit.told, fit.error)
    assert exposure.undetermined == ("kvp",)
    assert "(not told by the image)" in exposure.summary()
    assert "where the tables end" in EstimatedExposure(TUBE, {"kvp": 145.0}, {"kvp": 4.0}, {"kvp": 0.9}, 0.1).summary()
    # Beside bone it says much.
    image_of = image_by_numbers(bodies.beam, ["kvp"], paths, (7.0, 7.0))
    xray = image_of(torch.tensor([110.0], dtype=DOUBLE)) + noise
    fit = fit_exposure(image_of, numbers, xray, one, nothing, torch.zeros(0), CURVE)
    assert fit.values["kvp"] == pytest.approx(110, abs=5)
    assert fit.told["kvp"] == pytest.approx(1 - (fit.deviations["kvp"] / 20) ** 2)
    assert fit.told["kvp"] > 0.9


def test_what_the_pose_changes_is_not_taken_for_kvp(camera):
    """Nor is how well kvp is told a matter of what was expected of it, where that is little."""
    bodies = bodies_of(camera, TUBE)
    views = views_from(camera.detector, HERE)
    paths = bodies.path_lengths([views], JOSEPH).double()
    image_of = image_by_numbers(bodies.beam, ["kvp"], paths, (7.0, 7.0))
    shown = image_of(torch.tensor([130.0], dtype=DOUBLE))
    by_pose = 0.1 * torch.gradient(shown)[1][None]
    noise = 0.002 * torch.randn(64, 64, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    xray, one, off = shown + 1.5 * by_pose[0] + noise, torch.ones_like(shown), torch.ones(1)
    fits = [
        fit_exposure(image_of, [Number("kvp", expected, 40.0, 40.0, 150.0)], xray, one, by_pose, off, AS_GIVEN)
        for expected in (80.0, 130.0)
    ]
    for fit in fits:
        assert fit.values["kvp"] == pytest.approx(130, abs=3)
        assert fit.error * shown.std().item() == pytest.approx(0.002, rel=0.2)
    assert fits[0].deviations["kvp"] == pytest.approx(fits[1].deviations["kvp"], rel=0.25)


# --- registration ---


def test_kvp_and_scatter_are_found_with_the_pose(camera):
    truth = with_numbers(SCATTERED, {"kvp": 105.0, "scatter": 2.0})
    xray = taken(camera, truth, gain=40.0, offset=7.0)
    asked = ("kvp", "scatter", "response")
    result = register(xray, camera, OFF, physics=SCATTERED, estimate=asked, stages=QUICK, candidates=1)
    (exposure,) = result.exposures
    assert exposure.values["kvp"] == pytest.approx(105, abs=8)
    assert exposure.values["scatter"] == pytest.approx(2.0, rel=0.15)
    assert exposure.values["gain"] == pytest.approx(40, rel=0.05)
    assert exposure.undetermined == ()
    assert exposure.physics.scatter.ratio == exposure.values["scatter"]
    assert exposure.physics.spectrum.settings.kvp == exposure.values["kvp"]
    plain = register(xray, camera, OFF, physics=SCATTERED, stages=QUICK, candidates=1)
    assert plain.exposures == ()
    assert result.score[0] > plain.score[0]
    errors = [(one.pose.matrix[0] - HERE.matrix[0])[:3, 3].norm().item() for one in (result, plain)]
    assert errors[0] < 1.0
    assert "exposure: kvp" in result.summary()
    assert result.outcome()["exposures"][0]["kvp"][0] == pytest.approx(exposure.values["kvp"], rel=1e-4)
    assert result.only(0).exposures == result.exposures


def test_as_intensities_kvp_is_the_same(camera):
    """The brightest pixel, which noise makes darker or brighter than the open field, is 0 then."""
    asked = {"estimate": "kvp", "response": "transmission", "stages": QUICK, "candidates": 1}
    (exposure,) = register(taken(camera, TUBE), camera, HERE, physics=TUBE, **asked).exposures
    assert exposure.values["kvp"] == pytest.approx(80, abs=0.2)


def test_two_views_have_an_exposure_each(camera):
    truths = [with_numbers(TUBE, {"kvp": kvp}) for kvp in (60.0, 120.0)]
    xrays = [taken(camera, truth) for truth in truths]
    result = register(xrays, [camera] * 2, [OFF] * 2, physics=[TUBE, TUBE], estimate="kvp", stages=QUICK, candidates=1)
    found = [exposure.values["kvp"] for exposure in result.exposures]
    assert found == pytest.approx([60, 120], abs=8)
    assert "exposure of view 1" in result.summary()


def test_a_search_takes_a_physics_too(camera):
    truth = with_numbers(TUBE, {"kvp": 110.0})
    found = search(
        taken(camera, truth), camera, init=OFF, physics=TUBE, estimate={"kvp": 10}, poses=8, keep=1, stages=QUICK
    )
    assert found.exposures[0].values["kvp"] == pytest.approx(110, abs=8)
    result = register(taken(camera, truth), camera, OFF, physics=TUBE, method="adam", iterations=3)
    assert result.exposures == ()


# --- what is refused ---


def test_what_is_wrong_is_said(camera):
    xray = taken(camera, TUBE)
    with pytest.raises(ValueError, match=r"Expected physics=.* to estimate kvp"):
        register(xray, camera, OFF, estimate="kvp")
    with pytest.raises(ValueError, match=r"Expected estimate among kvp, filtration, scatter, response\. Got 'dose'"):
        register(xray, camera, OFF, physics=TUBE, estimate=("kvp", "dose"))
    with pytest.raises(TypeError, match=r"Expected a raygrad\.physics\.Physics, or one for each view\. Got str"):
        physics_of_views("fluoroscopy", 1)
    with pytest.raises(ValueError, match=r"Expected one physics, or one for each of 1 view\(s\). Got 2"):
        register(xray, camera, OFF, physics=[TUBE, TUBE])
    with pytest.raises(ValueError, match=r"Expected method lm for estimate\. Got 'adam'"):
        register(xray, camera, OFF, physics=TUBE, estimate="kvp", method="adam")
    with pytest.raises(ValueError, match=r"Spectrum\.tube"):
        register(xray, camera, OFF, physics=Physics.monochromatic(60), estimate="kvp")
    with pytest.raises(ValueError, match="filters"):
        register(xray, camera, OFF, physics=Physics(Spectrum.tube(80.0, {})), estimate="filtration")
    with pytest.raises(ValueError, match="Expected physics with some scatter"):
        register(xray, camera, OFF, physics=TUBE.replaced(scatter=Scatter(0.0)), estimate="scatter")
    with pytest.raises(ValueError, match=r"positive and finite standard deviation of kvp\. Got -3"):
        deviations_of({"kvp": -3})
    with pytest.raises(TypeError, match=r"standard deviation of kvp as a number\. Got str"):
        deviations_of({"kvp": "wide"})
    density = drr_of(torch.rand(8, 8, 8, dtype=DOUBLE), rows=64, columns=64, delx=7.0)
    with pytest.raises(ValueError, match="Hounsfield"):
        register(xray, density, OFF, physics=TUBE)
