"""What of an X-ray does not count: apertures, text and saturation are found, and nothing where there is none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from apertures import SHAPES, counts_of, depth_within, jpeg, write_text
from real_files import real_data

from raygrad.data import load_example_ct
from raygrad.drr import DRR
from raygrad.formats import VALUES, InputError, XRay, find_hidden, line_integrals, read_xray
from raygrad.metrics import mean_target_registration_error
from raygrad.pose import convert
from raygrad.registration import register

SIZE = 160


def pose_of(angles, place):
    return convert(
        torch.tensor([angles]), torch.tensor([place]), parameterization="euler_angles", convention="ZXY", degrees=True
    )


@pytest.fixture(scope="module")
def drr():
    return DRR(load_example_ct(shape=(96, 96, 60)), sdd=1020.0, height=SIZE, delx=2.5)


@pytest.fixture(scope="module")
def poses():
    rng = np.random.default_rng(7)
    return [
        pose_of(
            (rng.uniform(-1, 1, 3) * [180, 20, 20]).tolist(), (rng.uniform(-40, 40, 3) + np.array([0, 850, 0])).tolist()
        )
        for _ in range(20)
    ]


@pytest.fixture(scope="module")
def images(drr, poses):
    with torch.no_grad():
        return [drr(pose)[0, 0] for pose in poses]


def taken(pixels, values="intensity", **fields):
    return XRay(Path("x"), pixels, values=values, **fields)


def darker_beyond(depth, pixels, beyond):
    """What a shutter leaves: outside of it pixels have other values."""
    return torch.where(torch.from_numpy(depth > 0), pixels, beyond)


OUTSIDE = {
    "black": lambda counts, integrals: (counts, torch.zeros(()), {}),
    "few photons": lambda counts, integrals: (
        counts,
        torch.poisson(torch.full_like(counts, 5.0), generator=torch.Generator().manual_seed(3)),
        {},
    ),
    "line integrals": lambda counts, integrals: (integrals, 1.2 * integrals.max(), {"values": "line-integrals"}),
    "painted black on a picture whose bone is bright": lambda counts, integrals: (
        (30 + integrals * (225 / integrals.max())).round(),
        torch.zeros(()),
        {"values": "display", "full_scale": 255.0},
    ),
}


@pytest.mark.parametrize("outside", OUTSIDE)
@pytest.mark.parametrize("kind", SHAPES)
def test_an_aperture_is_found_within_two_pixels(images, kind, outside):
    rng = np.random.default_rng(SHAPES.index(kind))
    for number in range(3):
        depth = depth_within(kind, (SIZE, SIZE), rng)
        pixels, beyond, fields = OUTSIDE[outside](counts_of(images[number]), images[number])
        found = find_hidden(taken(darker_beyond(depth, pixels, beyond), **fields))
        assert found.aperture == kind.replace("rotated", "rectangular")
        assert found.within == pytest.approx((depth > 0).mean(), abs=0.05)
        wrong = (found.weights > 0).numpy() != (depth > 0)
        assert np.abs(depth[wrong]).max() <= 2
        assert not (found.weights > 0).numpy()[depth < 0].any()


def test_a_round_collimator_that_lets_some_through_is_found(images):
    """Beyond it the body is seen, too, 2 nepers darker: nothing is flat there."""
    depth = depth_within("round", (SIZE, SIZE), np.random.default_rng(4))
    for image in images[:3]:
        integrals = image * (4 / image.max())
        found = find_hidden(taken(darker_beyond(depth, integrals, 0.5 * integrals + 5), "line-integrals"))
        assert found.aperture == "round"
        assert np.abs(depth[(found.weights > 0).numpy() != (depth > 0)]).max() <= 2


def test_text_in_the_dark_beyond_an_aperture_does_not_matter(images):
    depth = depth_within("round", (SIZE, SIZE), np.random.default_rng(5))
    image, _ = write_text(darker_beyond(depth, counts_of(images[0]), torch.zeros(())), 65535.0)
    found = find_hidden(taken(image))
    assert found.aperture == "round"
    assert np.abs(depth[(found.weights > 0).numpy() != (depth > 0)]).max() <= 2 or found.text > 0


@pytest.mark.parametrize("kind", ["counts", "logarithms", "noiseless", "12 bits", "inverted", "8 bits", "MONOCHROME1"])
def test_of_ordinary_xrays_nothing_is_hidden(images, kind):
    """From all sides, with and without air about the body, which is the brightest that the file can say."""
    for number, image in enumerate(images if kind == "counts" else images[::4]):
        counts, share = counts_of(image, 10.0 ** (2 + number % 4), number), image / image.max()
        scaled = (4095 * torch.exp(-5 * share)).round()
        xray = {
            "counts": taken(counts),
            "logarithms": taken(-(counts.clamp_min(1) / counts.max()).log(), "line-integrals"),
            "noiseless": taken(image, None),
            "12 bits": taken(scaled, full_scale=4095.0),
            "inverted": taken(4095 - scaled, "inverted-intensity", full_scale=4095.0),
            "8 bits": taken((255 * share).round(), None, full_scale=255.0),
            "MONOCHROME1": taken(255 - (255 * share).round(), "display", bone_is_low=True, full_scale=255.0),
        }[kind]
        found = find_hidden(xray)
        assert found.nothing, f"{number}: {found}"
        assert found.weights.min() == 1
        assert str(found) == "nothing"


@pytest.mark.parametrize("quality", [95, 70])
def test_text_under_the_ripples_of_jpeg_is_hidden(images, quality):
    """No pixel of it is at the end of the range, but it stands in lines."""
    for image in images[:3]:
        grey = 242 - (230 / image.max()) * image
        text, strokes = write_text(grey.round(), 0.0)
        found = find_hidden(taken(jpeg(text, quality), "inverted-display", full_scale=255.0))
        hidden, seen = found.weights == 0, strokes & (grey > 60)
        assert found.aperture is None
        assert hidden[seen].float().mean() > 0.5
        assert not hidden[~(torch.nn.functional.max_pool2d(strokes[None].float(), 9, 1, 4)[0] > 0)].any()
        assert find_hidden(taken(jpeg(grey, quality), "inverted-display", full_scale=255.0)).text == 0


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("flat", [True, False])
def test_apertures_with_a_penumbra_are_found(images, kind, flat):
    """Blades fade out over some pixels, to darkness or to a tail of scatter."""
    for number in range(2):
        depth = depth_within(kind, (SIZE, SIZE), np.random.default_rng(SHAPES.index(kind) + 10 * number))
        open_part = torch.from_numpy(1 / (1 + np.exp(-depth / 1.0))).float()
        tail = 0.0 if flat else torch.from_numpy(0.03 * np.exp(-np.maximum(-depth, 0) / 25)).float()
        passed = torch.exp(-images[number] * (4 / images[number].max())) + (0.0 if flat else 0.03)
        counts = 20000 * (passed * open_part + tail * (1 - open_part)) + 2
        found = find_hidden(taken(torch.poisson(counts, generator=torch.Generator().manual_seed(number))))
        if not flat and found.aperture is None:
            continue  # as the page says, such ones may be missed; but what is found is right
        assert found.aperture is not None
        shown = (found.weights > 0).numpy()
        assert shown[depth < -4].mean() < 0.01  # at corners
        assert shown[depth > 12].mean() > 0.99


@pytest.mark.parametrize("value", [0.0, 65535.0])
def test_text_is_hidden_with_its_rim_and_nothing_else(images, value):
    for image in images[:4]:
        pixels, strokes = write_text(counts_of(image) + 20, value)
        found = find_hidden(taken(pixels, full_scale=65535.0))
        assert found.text > 0
        assert found.aperture is None
        assert not found.weights[strokes].any()
        near = torch.nn.functional.max_pool2d(strokes[None].float(), 3, 1, 1)[0] > 0
        assert found.weights[~near].all()


def test_saturated_pixels_are_hidden_where_noise_tells_them_from_air(images):
    for image in images[:3]:
        counts = counts_of(image)
        for pixels, end in ((counts.clamp(max=9000), 9000), (counts.clamp(min=600), 600)):
            found = find_hidden(taken(pixels))
            at_end = pixels == end
            torch.testing.assert_close(found.weights, 1 - at_end.float())
            assert found.saturated == pytest.approx(at_end.float().mean().item())
            assert str(found).startswith("saturated pixels")


def test_air_that_only_may_be_saturated_is_kept(images):
    """Without noise it has one value by nature; and air at 0 is no end of the range if its noise was cut off there."""
    for image in images[:3]:
        without_noise = 20000 * torch.exp(-image * (5 / image.max()))
        assert find_hidden(taken(without_noise.clamp(max=9000))).nothing
        integrals = -(counts_of(image).clamp_min(1) / 20000).log()
        assert find_hidden(taken(integrals.clamp_min(0), "line-integrals")).nothing


def test_small_or_empty_images_have_all_their_pixels():
    for pixels in (torch.ones(80, 80), torch.eye(3), torch.zeros(1, 5)):
        assert find_hidden(taken(pixels)).nothing
    with pytest.raises(InputError, match=VALUES[0]):
        find_hidden(taken(torch.eye(3)), "counts")


# What it is for


def error_of(result, truth):
    side = torch.linspace(-100, 100, 5, dtype=torch.float64)
    points = torch.cartesian_prod(side, side, side)[None]
    return mean_target_registration_error(result.pose.to(torch.float64), truth.to(torch.float64), points).item()


def registered(drr, xray, start, mask=None):
    return register(line_integrals(xray)[None, None], drr, start, mask=mask, auto_mask=False)


@pytest.fixture(scope="module")
def truth():
    return pose_of((6.0, -4.0, 5.0), (8.0, 860.0, -10.0))


@pytest.fixture(scope="module")
def counts(drr, truth):
    with torch.no_grad():
        return counts_of(drr(truth)[0, 0])


@pytest.mark.filterwarnings("ignore:The X-ray looks inverted")  # as it does without the mask
def test_an_undeclared_shutter_does_not_mislead_a_registration(drr, truth, counts):
    depth = depth_within("round", (SIZE, SIZE), np.random.default_rng(3))
    xray = taken(darker_beyond(depth, counts, torch.zeros(())))
    start = pose_of((0.0, 0.0, 0.0), (0.0, 850.0, 0.0))
    result = registered(drr, xray, start, find_hidden(xray).weights)
    assert str(result.status[0]) == "converged"
    assert error_of(result, truth) < 1.0
    result = registered(drr, xray, start)
    assert str(result.status[0]) != "converged" or error_of(result, truth) > 2.0


def blemished(what, counts):
    """Counts of which a part does not count."""
    if what in SHAPES:
        depth = depth_within(what, (SIZE, SIZE), np.random.default_rng(SHAPES.index(what)))
        return darker_beyond(depth, counts, torch.zeros(()))
    return {
        "white text": write_text(counts, 65535.0)[0],
        "black text": write_text(counts, 0.0)[0],
        "saturated": counts.clamp(max=9000),
        "starved": counts.clamp(min=600),
    }[what]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The X-ray looks inverted")  # as it does without the mask
@pytest.mark.parametrize("what", [*SHAPES, "white text", "black text", "saturated", "starved"])
def test_from_eight_starts_the_pose_is_found_under_the_mask(drr, truth, counts, what):
    rng = np.random.default_rng(1)
    xray = taken(blemished(what, counts), full_scale=65535.0)
    weights = find_hidden(xray).weights
    right = {"with": 0, "without": 0}
    for _ in range(8):
        place = np.array([0, 850, 0]) + rng.uniform(-25, 25, 3)
        start = pose_of(rng.uniform(-10, 10, 3).tolist(), place.tolist())
        for which, mask in (("with", weights), ("without", None)):
            result = registered(drr, xray, start, mask)
            right[which] += str(result.status[0]) == "converged" and error_of(result, truth) < 1.0
    assert right["with"] == 8
    assert right["without"] == (8 if what == "starved" else 0)


# The real files, which the project does not have

REAL_APERTURES = {
    "xray_dicom/XA1_JPLL.dcm": "round",
    "xray_dicom/RG1_J2KI.dcm": None,
    "xray_dicom/dx_fuji.dcm": None,
    "fluoroscopy/knee_a/HL_V1_K1_0001.tif": "rectangular",
    "fluoroscopy/knee_b/AT_K1_V1_0170.tif": "rectangular",
}


@pytest.mark.parametrize("name", REAL_APERTURES)
@pytest.mark.filterwarnings("ignore:.*RG1_J2KI.* shutter or collimator")
def test_apertures_of_real_xrays(name):
    folder, _, file = name.partition("/")
    found = find_hidden(read_xray(real_data(folder) / file), "intensity" if folder == "fluoroscopy" else None)
    assert found.aperture == REAL_APERTURES[name]
    assert found.text == 0
    if found.aperture:
        assert 0.7 < found.within < 0.8
    else:
        assert found.nothing
