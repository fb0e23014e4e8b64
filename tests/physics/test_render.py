"""Rendering with physics: the law of Beer and Lambert at one energy, closed forms at many, and derivatives by all."""

import math

import numpy as np
import pytest
import torch
from physics_cases import beam, body, drr_of, pose_of, subject_of
from torch.autograd import gradcheck

import raygrad
from raygrad.data import Volume, read
from raygrad.drr import DRR
from raygrad.geometry import ConeViews, RayViews
from raygrad.physics import (
    AntiScatterGrid,
    Chain,
    DetectorBlur,
    FocalSpot,
    Gain,
    Glare,
    Heel,
    Lag,
    Log,
    Noise,
    Physics,
    PreparedTissues,
    Scatter,
    Sensor,
    Spectrum,
    Tissues,
    Window,
    path_lengths,
    render,
    sensor_named,
)

RENDERERS = ["siddon", "joseph", "trilinear"]
BLANK = torch.full((6, 6, 6), -1000.0)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("kev", [35.0, 60, 120.0])
def test_one_energy_is_the_drr_of_attenuation_to_the_bit(renderer, kev):
    hu = body(dtype=torch.float32, highest=3500, lowest=-1200)
    subject = read(Volume(hu, np.diag([6.0, 6.0, 6.0, 1.0])), density="attenuation", energy_kev=kev)
    drr = DRR(subject, 1000.0, 12, 6.0, 10, renderer=renderer)
    pose = pose_of(dtype=torch.float32)
    image = drr(pose)
    assert image.max() > 0.3
    assert torch.equal(render(drr, pose, Physics.monochromatic(kev)), image)


def test_one_energy_among_materials_is_the_sum_of_their_attenuation():
    drr, pose = drr_of(body()), pose_of()
    physics = Physics(Spectrum.monochromatic(50.0))
    seen = path_lengths(drr, pose)
    expected = torch.einsum("vmhw,me->vehw", seen.lengths, seen.attenuation(50.0))
    assert torch.allclose(render(drr, pose, physics), expected, rtol=1e-12)
    two = Spectrum(torch.tensor([49.999999, 50.000001], dtype=torch.float64), torch.ones(2))
    assert torch.allclose(render(drr, pose, Physics(two)), expected, rtol=1e-6)


def test_a_polychromatic_image_is_its_sum_over_energies():
    drr, pose = drr_of(body()), pose_of()
    physics = beam(sensor=sensor_named("csi"))
    seen = path_lengths(drr, pose)
    weights = physics.spectrum.photons * physics.sensor.weights(physics.spectrum.energies_kev)
    mu = Tissues().attenuation(physics.spectrum.energies_kev, seen.materials)
    left = torch.exp(-torch.einsum("vmhw,me->vehw", seen.lengths, mu))
    expected = torch.einsum("vehw,e->vhw", left, weights)[:, None] / weights.sum()
    image = render(drr, pose, physics)
    assert torch.allclose(image, -torch.log(expected), rtol=1e-11)
    counted = render(drr, pose, physics.replaced(dose_ugy=2.0), quantity="counts")
    n = 2.0 * 12.0 * 12.0 / physics.spectrum.air_kerma() * weights.sum()
    assert torch.allclose(counted, n * expected, rtol=1e-11)


def test_counts_are_the_photons_of_the_dose():
    """Kerma is photons x energy x mu_en / rho of air, 0.03041 cm2/g at 60 keV (NISTIR 5632, table 4)."""
    physics = Physics.monochromatic(60.0, dose_ugy=1.0)
    empty = render(drr_of(BLANK), pose_of(dtype=torch.float32), physics, quantity="counts")
    joule, m2_per_kg = 60.0 * 1.602176634e-16, 0.003041
    photons = 1e-6 / (joule * m2_per_kg) * 1e-6  # in a mm2
    assert torch.allclose(empty, torch.tensor(12.0 * 12.0 * photons), rtol=0.01)


def test_nothing_in_the_beam_is_the_open_field():
    drr, pose = drr_of(BLANK), pose_of(dtype=torch.float32)
    full = Physics.preset("radiography", lag=Lag(), inverse_square=True)
    assert torch.equal(render(drr, pose, beam()), torch.zeros(1, 1, 6, 5))
    assert render(drr, pose, full).abs().max() < 1e-5


def test_beams_harden():
    """Line integrals of thicker water grow more slowly: the photons that are left are harder."""
    pose, thick = pose_of((0.0, 0.0, 0.0), (0.0, 800.0, 0.0)), []
    for voxels in (2, 4, 8):
        hu = torch.full((9, 12, 9), -1000.0, dtype=torch.float64)
        hu[:, :voxels] = 0
        thick.append(render(drr_of(hu, 1, 1, renderer="siddon"), pose, beam()).item() / voxels)
    assert thick[0] > 1.01 * thick[1] > 1.02 * thick[2]


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("which", ["beam", "one energy", "with all effects"])
def test_derivatives_by_the_pose_are_exact(renderer, which):
    drr = drr_of(body(highest=300), 4, 3, renderer=renderer)
    physics = {"beam": beam(), "one energy": Physics.monochromatic(60)}.get(which)
    quantity = "line integrals" if physics else "counts"
    physics = physics or Physics.preset("fluoroscopy", blur=DetectorBlur(10.0), dose=1.0)

    def image(rotation, translation):
        pose = raygrad.convert(rotation, translation, parameterization="euler_angles", convention="ZXY")
        return render(drr, pose, physics, quantity=quantity)

    rotation = torch.tensor([[0.1, 0.2, 0.3]], dtype=torch.float64, requires_grad=True)
    translation = torch.tensor([[3.1, 800.2, -2.3]], dtype=torch.float64, requires_grad=True)
    assert gradcheck(image, (rotation, translation), eps=1e-7, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("physics", [beam(), Physics.monochromatic(60.0), Physics.preset("cbct", dose=1.0)])
def test_derivatives_by_the_hu_are_exact(physics):
    hu = body((4, 3, 4), highest=2500).requires_grad_()

    def image(values):
        return render(drr_of(subject_of(values, 20.0), 3, 3), pose_of(), physics)

    assert gradcheck(image, (hu,), eps=1e-4, rtol=1e-4, atol=1e-8)


NUMBERS = {
    "kvp": (73.4, lambda x: beam().replaced(spectrum=Spectrum.tube(x))),
    "filtration": (0.3, lambda x: beam().replaced(spectrum=Spectrum.tube(80.0, {"aluminium": 3.0, "copper": x}))),
    "anode angle": (11.3, lambda x: beam().replaced(spectrum=Spectrum.tube(80.0, anode_angle_deg=x))),
    "energy": (61.3, Physics.monochromatic),
    "thickness": (0.4, lambda x: beam(sensor=Sensor("csi", x))),
    "density": (1.1, lambda x: beam(tissues=Tissues(densities={"cortical bone": x}))),
    "density at one energy": (0.9, lambda x: Physics.monochromatic(60, tissues=Tissues(densities={"lung": x}))),
    "dose": (0.7, lambda x: beam(dose_ugy=x)),
    "heel": (14.0, lambda x: beam(heel=Heel(x))),
    "focal spot": (5.0, lambda x: beam(focal_spot=FocalSpot(x))),
    "scatter": (1.3, lambda x: beam(scatter=Scatter(x))),
    "reach of scatter": (25.0, lambda x: beam(scatter=Scatter(1.0, narrow_mm=x))),
    "grid": (0.6, lambda x: beam(scatter=Scatter(2.0), grid=AntiScatterGrid(primary=x))),
    "blur": (9.0, lambda x: beam(blur=DetectorBlur(x))),
    "glare": (0.1, lambda x: beam(glare=Glare(x))),
    "gain": (1.7, lambda x: beam(gain=Gain(x))),
    "lag": (0.1, lambda x: beam(lag=Lag((x,), (3.0,), before="dark"))),
    "response": (2.1, lambda x: beam(response=Chain((Log(), Window(-0.3, x))))),
    "electronics": (2.5, lambda x: beam(noise=Noise(electronic=x))),
}
HAS_UNIT = {"dose", "heel", "gain", "electronics"}


@pytest.mark.parametrize("name", NUMBERS)
def test_derivatives_by_every_number_are_exact(name):
    value, made = NUMBERS[name]
    drr = drr_of(body(), 4, 3)
    drr_pose = pose_of()

    def image(number):
        physics = made(number)
        physics = physics if physics.dose_ugy is not None else physics.replaced(dose_ugy=1.0)
        quantity = "counts" if name in HAS_UNIT else "picture" if name == "response" else "line integrals"
        seed = 0 if physics.noise is not None else None
        scale = 1e-6 if quantity == "counts" else 1.0
        return render(drr, drr_pose, physics, quantity=quantity, noise=seed) * scale

    number = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    assert gradcheck(image, (number,), eps=1e-5, rtol=1e-4, atol=1e-9)
    (slope,) = torch.autograd.grad(image(number).sum(), number)
    assert slope != 0


def test_noise_has_the_mean_and_the_variance_of_its_quanta():
    """Photons of a spectrum add their energies: variance is the sum of energies squared."""
    drr, pose = drr_of(torch.full((20, 8, 20), -400.0), 40, 40, 2.0), pose_of((0.0,) * 3, dtype=torch.float32)
    physics = beam(dose_ugy=0.5, noise=Noise(), sensor=sensor_named("csi"))
    expected = render(drr, pose, physics, quantity="counts").double()
    drawn = torch.cat([render(drr, pose, physics, quantity="counts", noise=seed) for seed in range(60)]).double()
    energies, photons = physics.spectrum.energies_kev, physics.spectrum.photons
    seen = path_lengths(drr, pose)
    left = torch.exp(-torch.einsum("vmhw,me->vehw", seen.lengths.double(), seen.attenuation(energies)))
    arriving = (
        left * (photons * physics.photons_per_pixel((2.0, 2.0)) * physics.sensor.absorbed(energies))[:, None, None]
    )
    variance = (arriving * energies[:, None, None] ** 2).sum(1)
    assert math.isclose(drawn.mean(), expected.mean(), rel_tol=1e-3)
    assert math.isclose((drawn - expected).square().mean(), variance.mean(), rel_tol=0.02)
    assert torch.equal(render(drr, pose, physics, noise=3), render(drr, pose, physics, noise=3))
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(render(drr, pose, physics, noise=generator), render(drr, pose, physics, noise=3))
    assert not torch.equal(render(drr, pose, physics, noise=generator), render(drr, pose, physics, noise=3))


def test_pixels_without_photons_read_as_half_of_one():
    drr, pose = drr_of(torch.full((20, 20, 20), 3000.0)), pose_of(dtype=torch.float32)
    physics = Physics.monochromatic(60.0, dose_ugy=1e-6, noise=Noise())
    image = render(drr, pose, physics, noise=0)
    photons = render(drr_of(BLANK), pose, physics, quantity="counts").max()
    assert torch.isclose(image.max(), torch.log(2 * photons), rtol=1e-5)


def test_effects_act_in_their_order():
    drr, pose = drr_of(body(highest=200), 24, 20, 4.0), pose_of()
    heel, spot, scatter, grid = Heel(), FocalSpot(3.0), Scatter(1.5), AntiScatterGrid()
    blur, glare, gain = DetectorBlur(4.0), Glare(0.1), Gain(0.5)
    physics = beam(dose_ugy=1.0)
    primary = render(drr, pose, physics, quantity="counts")
    place = {"pixel_mm": (4.0, 4.0)}
    magnification = 1000.0 / path_lengths(drr, pose).views.world_to_pixel[0, 2, 3]
    open_field = torch.full_like(primary, float(primary.max() * 0 + 1)) * render(
        drr_of(BLANK.double(), 24, 20, 4.0), pose, physics, quantity="counts"
    )
    lit, open_lit = (
        spot(heel(one, sdd=1000.0, **place), magnification=magnification, **place) for one in (primary, open_field)
    )
    both = scatter(lit, open_lit, grid=grid, **place)
    expected = gain(glare(blur(both, **place), **place))
    everything = physics.replaced(
        heel=heel, focal_spot=spot, scatter=scatter, grid=grid, blur=blur, glare=glare, gain=gain
    )
    assert torch.allclose(render(drr, pose, everything, quantity="counts"), expected, rtol=1e-9)
    behind = 0.5 * glare(blur(grid.primary * open_lit, **place), **place)
    assert torch.allclose(render(drr, pose, everything), -torch.log(expected / behind), rtol=1e-9, atol=1e-12)


def test_intensity_falls_with_the_way_and_line_integrals_do_not_show_it():
    drr, pose = drr_of(body(), 9, 7, 40.0, x0=30.0, y0=-20.0), pose_of()
    flat, falling = beam(dose_ugy=1.0), beam(dose_ugy=1.0, inverse_square=True)
    source, target = ConeViews(drr.detector, pose).rays()
    way = (target - source).norm(dim=-1).reshape(1, 1, 9, 7)
    ratio = render(drr, pose, falling, quantity="counts") / render(drr, pose, flat, quantity="counts")
    assert torch.allclose(ratio, (1000.0 / way) ** 3, rtol=1e-6)
    assert torch.allclose(render(drr, pose, falling), render(drr, pose, flat), rtol=1e-9, atol=1e-12)


def test_a_picture_is_the_response_to_shares_of_the_open_field():
    drr, pose = drr_of(body()), pose_of()
    log = beam(response=Log())
    assert torch.allclose(render(drr, pose, log, quantity="picture"), render(drr, pose, beam()), rtol=1e-10)
    windowed = beam(response=Log().then(Window(0.0, 2.0)))
    picture = render(drr, pose, windowed, quantity="picture")
    assert torch.allclose(picture, (render(drr, pose, beam()) / 2).clamp(0, 1), rtol=1e-10)


@pytest.mark.parametrize("name", ["fluoroscopy", "radiography", "cbct"])
def test_presets_are_real_and_can_be_changed(name):
    drr, pose = drr_of(body(highest=200, dtype=torch.float32)), pose_of(dtype=torch.float32)
    physics = Physics.preset(name)
    assert torch.isfinite(render(drr, pose, physics, quantity="picture", noise=0)).all()
    other = Physics.preset(name, kvp=100, filtration={"copper": 1.0}, dose=3.0, detector="ideal-counting", scatter=None)
    assert other.dose_ugy == 3.0
    assert other.sensor.counting
    assert "scatter" not in other.effects
    assert other.spectrum.mean_energy() > physics.spectrum.mean_energy()


def test_several_views_and_a_ready_ct():
    drr = drr_of(body(), renderer="siddon")
    poses = raygrad.RigidTransform(torch.cat([pose_of().matrix, pose_of((0.5, 0.0, 0.2)).matrix]))
    physics = Physics.preset("fluoroscopy", heel=Heel())
    both = render(drr, poses, physics)
    one_by_one = [render(drr, raygrad.RigidTransform(one[None]), physics) for one in poses.matrix]
    assert torch.allclose(both, torch.cat(one_by_one), rtol=1e-9)
    prepared = PreparedTissues.of(drr)
    assert torch.equal(render(drr, poses, physics, prepared=prepared), both)
    assert torch.equal(render(drr, ConeViews(drr.detector, poses), physics), both)


def test_what_makes_no_sense_is_refused():
    drr, pose = drr_of(body()), pose_of()
    for arguments, error, said in (
        ({"quantity": "counts"}, ValueError, "Expected physics with a dose_ugy, for counts and noise"),
        ({"noise": 0}, ValueError, "dose_ugy"),
        ({"quantity": "picture"}, ValueError, "with a response"),
        ({"quantity": "photons"}, ValueError, "one of line integrals, counts, picture. Got 'photons'"),
        ({"poses": {}}, TypeError, "poses with a scene only"),
        ({"prepared": 3}, TypeError, None),
    ):
        with pytest.raises(error, match=said):
            render(drr, pose, beam(), **arguments)
    with pytest.raises(ValueError, match=r"with noise, such as physics.replaced\(noise=Noise\(\)\)"):
        render(drr, pose, beam(dose_ugy=1.0), noise=0)
    with pytest.raises(ValueError, match="sums up all rays"):
        render(drr_of(body(), p_subsample=0.5), pose, beam())
    with pytest.raises(ValueError, match="sums up all rays"):
        render(drr_of(body(), reducefn="max"), pose, beam())
    source, target = ConeViews(drr.detector, pose).rays()
    rays = RayViews(source, target, (6, 5))
    assert torch.allclose(render(drr, rays, beam()), render(drr, pose, beam()), rtol=1e-12)
    with pytest.raises(ValueError, match="Expected views of a detector, whose pixels have a size"):
        render(drr, rays, beam(dose_ugy=1.0), quantity="counts")
    with pytest.raises(ValueError, match="cone beam's views for the heel effect"):
        render(drr, rays, beam(heel=Heel()))


@pytest.mark.parametrize(
    ("made", "error", "said"),
    [
        (lambda: beam(dose_ugy=-1.0), ValueError, "dose_ugy in microgray.* above 0.* Got -1"),
        (lambda: beam(dose_ugy=float("nan")), ValueError, "Got nan"),
        (lambda: beam(blur=2.0), TypeError, None),
        (lambda: beam(sensor=None), TypeError, None),
        (lambda: Physics("80 kV"), TypeError, None),
        (
            lambda: Physics.preset("mammography"),
            ValueError,
            "preset of fluoroscopy, radiography, cbct. Got 'mammography'",
        ),
        (lambda: Physics.preset("cbct", kvp=300), ValueError, "from 40 to 150. Got 300"),
        (lambda: Physics.preset("cbct", detector="film"), ValueError, "Expected a sensor of"),
        (lambda: Physics.monochromatic(5.0), ValueError, "10 to 150"),
    ],
)
def test_systems_that_make_no_sense_are_refused(made, error, said):
    with pytest.raises(error, match=said):
        made()
