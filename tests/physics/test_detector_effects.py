"""Heel effect, gain and lag against closed forms; and what all effects refuse."""

import math

import pytest
import torch
from physics_laws import check_adjoint, check_derivatives, images, number
from torch.testing import assert_close

from raygrad.physics import (
    AntiScatterGrid,
    DetectorBlur,
    FocalSpot,
    Gain,
    Gamma,
    Glare,
    Heel,
    Inverted,
    Lag,
    Log,
    Noise,
    Quantized,
    Saturation,
    Scatter,
    Sigmoid,
    Window,
)
from raygrad.physics._noise import generator_of

GEOMETRY = {"sdd": 1000.0, "pixel_mm": (20.0, 30.0)}


# --- heel effect


def way_through_the_anode(angle_deg, depth, towards, across, sdd):
    """By marching a ray out of a block with an inclined face, rather than by a formula."""
    angle = math.radians(angle_deg)
    length = math.hypot(towards, across, sdd)
    direction = (towards / length, sdd / length)  # into the anode, and along the central ray
    below, outside = 0.0, 100 * depth
    for _ in range(200):
        middle = (below + outside) / 2
        place = (depth + middle * direction[0], middle * direction[1])
        inside = place[0] * math.cos(angle) > place[1] * math.sin(angle)
        below, outside = (middle, outside) if inside else (below, middle)
    return below


def test_the_way_through_the_anode():
    path = Heel(14.0, depth_mm=0.01).path_mm((5, 7), sdd=1000.0, pixel_mm=(20.0, 30.0))
    central = way_through_the_anode(14.0, 0.01, 0.0, 0.0, 1000.0)
    for row in range(5):
        for column in range(7):
            towards, across = -(column - 3) * 30.0, (row - 2) * 20.0
            expected = way_through_the_anode(14.0, 0.01, towards, across, 1000.0) - central
            assert float(path[row, column]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("axis", ["rows", "columns"])
@pytest.mark.parametrize("anode", ["first", "last"])
def test_intensity_falls_towards_the_anode_and_the_central_ray_keeps_its_own(axis, anode):
    field = Heel(12.0, axis, anode)(torch.ones(1, 1, 9, 7, dtype=torch.float64), **GEOMETRY)[0, 0]
    assert field[4, 3] == 1
    along = field[:, 3] if axis == "rows" else field[4]
    steps = along.diff()
    assert (steps > 0).all() if anode == "first" else (steps < 0).all()
    assert_close(field.flip(0 if axis == "columns" else 1), field)


def test_a_steeper_anode_has_less_of_it_and_no_depth_none():
    flat = torch.ones(1, 1, 3, 9)
    spreads = [
        float(Heel(angle)(flat, **GEOMETRY).max() / Heel(angle)(flat, **GEOMETRY).min()) for angle in (8, 12, 20)
    ]
    assert spreads[0] > spreads[1] > spreads[2] > 1
    assert Heel(12, depth_mm=0.0)(flat, **GEOMETRY).equal(flat)


def test_the_central_ray_need_not_meet_the_middle():
    whole = Heel()(torch.ones(1, 1, 9, 9), **GEOMETRY)
    part = Heel()(torch.ones(1, 1, 5, 5), center_mm=(-40.0, 60.0), **GEOMETRY)
    assert_close(part, whole[..., 4:9, 0:5])


def test_a_detector_in_the_anodes_shadow_is_refused():
    with pytest.raises(ValueError, match=r"less than 212\.6 mm towards the anode.* Got 240\.0 mm"):
        Heel(12.0)(torch.ones(1, 1, 3, 17), **GEOMETRY)


def test_derivatives_of_the_heel_effect():
    def heel(image, angle, depth, per_mm, sdd, dely, delx, row, column):
        found = Heel(angle, "rows", "last", depth, per_mm)
        return found(image, sdd=sdd, pixel_mm=(dely, delx), center_mm=(row, column))

    check_derivatives(heel, 12.0, 0.007, 7.0, 1000.0, 40.0, 30.0, 3.0, 4.0)
    check_adjoint(lambda image: Heel()(image, **GEOMETRY), (2, 1, 4, 5))


# --- gain


def test_what_pixels_read():
    image = images(2, 1, 3, 4)
    gain, offset = 1 + images(3, 4, seed=1), images(3, 4, seed=2)
    dead = torch.zeros(3, 4, dtype=torch.bool)
    dead[1, 2] = True
    read = Gain(gain, offset, dead)(image)
    assert_close(read, torch.where(dead, offset, gain * image + offset))
    assert Gain()(image).equal(image)
    assert Gain(dead=dead)(image.float()).dtype == torch.float32


def test_a_correction_that_knows_the_detector_brings_the_signal_back():
    image = images(2, 1, 6, 7)
    detector = Gain.drawn((6, 7), spread=0.1, offset=3.0, seed=4)
    assert_close(detector.corrected(detector(image)), image, rtol=1e-12, atol=1e-12)
    dead = torch.zeros(6, 7, dtype=torch.bool)
    dead[0, 0] = dead[3, 3] = dead[3, 4] = True
    detector = Gain(2.0, 0.5, dead)
    corrected = detector.corrected(detector(image))
    assert_close(corrected[..., ~dead], image[..., ~dead])
    assert_close(corrected[..., 0, 0], image[..., [0, 1, 1], [1, 0, 1]].mean(-1))
    around = [(2, 2), (2, 3), (2, 4), (3, 2), (4, 2), (4, 3), (4, 4)]
    assert_close(corrected[..., 3, 3], torch.stack([image[..., i, j] for i, j in around]).mean(0))


def test_detectors_drawn_by_lot():
    detector = Gain.drawn((300, 400), spread=0.05, dead=0.01, offset=2.0, seed=3)
    assert float(detector.gain.log().std()) == pytest.approx(0.05, rel=0.02)
    assert float(detector.gain.log().mean()) == pytest.approx(0, abs=1e-3)
    assert float(detector.offset.std()) == pytest.approx(2.0, rel=0.02)
    assert float(detector.dead.double().mean()) == pytest.approx(0.01, rel=0.15)
    assert Gain.drawn((3, 4), seed=3).gain.equal(Gain.drawn((3, 4), seed=3).gain)
    assert Gain.drawn((3, 4)).dead is None


def test_derivatives_of_gain():
    def read(image, gain, offset):
        return Gain(gain, offset, torch.eye(2, 3, dtype=torch.bool))(image)

    check_derivatives(read, [[1.0, 1.2, 0.9]] * 2, [[0.1, 0.0, 0.3]] * 2, shape=(2, 1, 2, 3))
    check_derivatives(read, 1.1, 0.2, shape=(2, 1, 2, 3))


# --- lag


def test_the_step_response():
    step = torch.cat([torch.zeros(2, 1, 2, 3), torch.ones(6, 1, 2, 3)]).double()
    read = Lag((0.05, 0.02), (1.5, 30.0))(step)[:, 0, 0, 0]
    frames = torch.arange(6, dtype=torch.float64)
    expected = 1 - 0.05 * torch.exp(-(frames + 1) / 1.5) - 0.02 * torch.exp(-(frames + 1) / 30)
    assert_close(read, torch.cat([torch.zeros(2).double(), expected]), rtol=1e-13, atol=0)
    assert_close(Lag((0.05, 0.02), (1.5, 30.0), before="dark")(step[2:])[:, 0, 0, 0], expected, rtol=1e-13, atol=0)


def test_what_is_trapped_is_read_in_the_end():
    flash = torch.zeros(400, 1, 1, 2, dtype=torch.float64)
    flash[0] = 1
    read = Lag((0.1, 0.2), (2.0, 9.0), before="dark")(flash)
    assert_close(read.sum(0), flash.sum(0), rtol=1e-12, atol=0)
    after = torch.arange(1, 400, dtype=torch.float64)
    tail = sum(s * (1 - math.exp(-1 / t)) * torch.exp(-after / t) for s, t in ((0.1, 2.0), (0.2, 9.0)))
    assert_close(read[1:, 0, 0, 0], tail, rtol=1e-10, atol=1e-15)


def test_a_constant_exposure_is_measured_as_it_is():
    constant = images(1, 1, 3, 4).expand(5, 1, 3, 4)
    assert Lag()(constant).equal(constant)
    assert Lag()(images(1, 2, 3, 4)).equal(images(1, 2, 3, 4))


def test_no_frame_knows_of_later_ones():
    first, second = images(6, 1, 2, 2, seed=1), images(6, 1, 2, 2, seed=2)
    second[:3] = first[:3]
    assert Lag()(first)[:3].equal(Lag()(second)[:3])


@pytest.mark.parametrize("before", ["steady", "dark"])
def test_derivatives_of_lag(before):
    def lagged(image, share, frames, more, longer):
        return Lag((share, more), (frames, longer), before)(image)

    check_derivatives(lagged, 0.1, 2.0, 0.2, 5.0, shape=(4, 1, 2, 2), second=True)
    check_adjoint(lambda image: Lag((0.1,), (2.0,), before)(image), (5, 1, 2, 3))


# --- refused


REFUSED = {
    "a negative ratio": (lambda: Scatter(-0.1), "ratio, a finite number of at least 0. Got -0.1"),
    "no ratio": (lambda: Scatter(math.nan), "ratio, .* Got nan"),
    "alpha": (lambda: Scatter(alpha=-1.0), "alpha, a finite number above -1. Got -1"),
    "beta": (lambda: Scatter(beta=-0.5), "beta"),
    "narrow": (lambda: Scatter(narrow_mm=0), "narrow_mm in mm, a finite number above 0. Got 0"),
    "wide": (lambda: Scatter(wide_mm=math.inf), "wide_mm in mm"),
    "share": (lambda: Scatter(wide_share=1.1), "wide_share, a finite number of at least 0 and up to 1. Got 1.1"),
    "reference": (lambda: Scatter(reference=0.0), "reference in nepers, a finite number above 0. Got 0"),
    "primary": (lambda: AntiScatterGrid(0.0), "primary, a finite number above 0 and up to 1. Got 0"),
    "scatter": (lambda: AntiScatterGrid(0.7, 1.5), "scatter"),
    "grid's ratio": (lambda: AntiScatterGrid().bucky_factor(-1.0), "ratio"),
    "blur": (lambda: DetectorBlur(-0.1), "sigma_mm in mm, a finite number of at least 0. Got -0.1"),
    "blur's tensor": (lambda: DetectorBlur(torch.tensor(-1.0, requires_grad=True)), "sigma_mm"),
    "two blurs": (lambda: DetectorBlur(torch.ones(2)), r"sigma_mm as one number. Got \(2,\)"),
    "shape": (lambda: DetectorBlur(0.1, "box"), "shape as one of 'gaussian', 'lorentzian'. Got 'box'"),
    "mtf": (lambda: DetectorBlur.from_mtf(1.2, 1.0), "mtf, a finite number above 0 and up to 1"),
    "frequency": (lambda: DetectorBlur.from_mtf(0.5, 0.0), "per_mm"),
    "glare": (lambda: Glare(1.5), "share"),
    "reach": (lambda: Glare(0.1, -1.0), "reach_mm"),
    "spot": (lambda: FocalSpot(-0.6), "width_mm"),
    "spot's height": (lambda: FocalSpot(0.6, math.nan), "height_mm"),
    "spot's shape": (lambda: FocalSpot(0.6, shape="round"), "shape"),
    "angle": (lambda: Heel(0.0), "angle_deg in degrees, a finite number above 0 and below 90. Got 0"),
    "axis": (lambda: Heel(axis="x"), "axis as one of 'rows', 'columns'"),
    "anode": (lambda: Heel(anode="left"), "anode as one of 'first', 'last'"),
    "depth": (lambda: Heel(depth_mm=-0.1), "depth_mm"),
    "per mm": (lambda: Heel(per_mm=-1.0), "per_mm"),
    "electronic": (lambda: Noise(electronic=-1.0), "electronic in the signal's unit"),
    "distribution": (lambda: Noise(distribution="normal"), "distribution as one of"),
    "gain": (lambda: Gain(0.0), "gain, a finite number above 0"),
    "gains": (lambda: Gain(torch.tensor([[1.0, -1.0]])), "gain of positive numbers"),
    "offsets": (lambda: Gain(1.0, torch.tensor([[1.0, math.nan]])), "offset of finite numbers"),
    "gain's shape": (lambda: Gain(torch.ones(2, 3, 4)), r"gain as a number or \(height, width\). Got \(2, 3, 4\)"),
    "spread": (lambda: Gain.drawn((2, 3), spread=-1.0), "spread"),
    "lag": (lambda: Lag((0.6, 0.5), (1.0, 2.0)), "shares that are less than 1 together. Got 1.1"),
    "lags": (lambda: Lag((0.1,), (1.0, 2.0)), "as many frames as shares"),
    "no lag": (lambda: Lag((), ()), "one at least"),
    "frames": (lambda: Lag((0.1,), (0.0,)), "each of frames, a finite number above 0"),
    "before": (lambda: Lag(before="bright"), "before as one of 'steady', 'dark'"),
    "least": (lambda: Log(0.0), "least, a finite number above 0 and below 1"),
    "window": (lambda: Window(1.0, 1.0), "high, a finite number above 1.0. Got 1"),
    "sigmoid": (lambda: Sigmoid(0.5, 0.0), "width"),
    "gamma": (lambda: Gamma(0.0), "exponent, a finite number above 0"),
    "saturation": (lambda: Saturation(0.0), "at, a finite number above 0"),
    "knee": (lambda: Saturation(1.0, -0.1), "knee"),
    "white": (lambda: Inverted(math.inf), "white, a finite number"),
    "bits": (lambda: Quantized(0), "bits as a whole number from 1 to 16. Got 0"),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_numbers_that_make_no_sense_are_refused(make, words):
    with pytest.raises(ValueError, match=f"Expected .*{words}"):
        make()


OPERATORS = {
    "blur": lambda image, **given: DetectorBlur(0.5)(image, **given),
    "glare": lambda image, **given: Glare()(image, **given),
    "spot": lambda image, **given: FocalSpot()(image, magnification=1.5, **given),
    "scatter": lambda image, **given: Scatter()(image, 1.0, **given),
    "heel": lambda image, **given: Heel()(image, sdd=1000.0, **given),
}


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_images_and_pixels_that_are_none_are_refused(operator):
    image = torch.ones(1, 1, 3, 4)
    with pytest.raises(ValueError, match=r"Expected dely of pixel_mm in mm, a finite number above 0. Got 0"):
        operator(image, pixel_mm=(0.0, 1.0))
    with pytest.raises(ValueError, match="Expected delx of pixel_mm"):
        operator(image, pixel_mm=(1.0, math.nan))
    with pytest.raises(TypeError, match=r"Expected images in float32 or float64. Got a tensor of torch\.float16"):
        operator(image.half(), pixel_mm=(1.0, 1.0))
    with pytest.raises(ValueError, match=r"Expected images of shape .* Got \(1, 1, 0, 4\)"):
        operator(image[:, :, :0], pixel_mm=(1.0, 1.0))


def test_what_a_call_needs_is_checked():
    image = torch.ones(1, 1, 3, 4)
    with pytest.raises(ValueError, match="Expected magnification, a finite number of at least 1"):
        FocalSpot()(image, pixel_mm=(1.0, 1.0), magnification=0.9)
    with pytest.raises(ValueError, match=r"Expected open_field, a finite number above 0"):
        Scatter()(image, 0.0, pixel_mm=(1.0, 1.0))
    with pytest.raises(ValueError, match=r"Expected a positive open field. Got 0 in it"):
        Scatter()(image, torch.zeros(3, 4), pixel_mm=(1.0, 1.0))
    with pytest.raises(ValueError, match=r"Expected an open field that fits \(1, 1, 3, 4\). Got \(5,\)"):
        Scatter()(image, torch.ones(5), pixel_mm=(1.0, 1.0))
    with pytest.raises(ValueError, match="Expected sdd in mm"):
        Heel()(image, sdd=0.0, pixel_mm=(1.0, 1.0))
    with pytest.raises(ValueError, match=r"Expected images of the size \(2, 4\) of gain. Got \(3, 4\)"):
        Gain(torch.ones(2, 4))(image)
    with pytest.raises(ValueError, match=r"Expected images of the size \(1, 1\) of dead. Got \(3, 4\)"):
        Gain(dead=torch.ones(1, 1, dtype=torch.bool))(image)


def test_seeds_are_checked():
    generator = torch.Generator()
    assert generator_of(generator, "cpu") is generator
    assert generator_of(3, "cpu").initial_seed() == 3
    with pytest.raises(ValueError, match=r"Expected a generator of device cuda. Got one of cpu"):
        generator_of(generator, "cuda")


def test_numbers_of_any_precision_are_taken():
    image = images(1, 1, 3, 4)
    for sigma in (1, 1.0, torch.tensor(1), torch.tensor([1.0]), number(1.0)):
        assert_close(DetectorBlur(sigma)(image, pixel_mm=(1, 2)), DetectorBlur(1.0)(image, pixel_mm=(1.0, 2.0)))
