"""What arrays of line integrals hide: each kind is found, and nothing where there is none."""

import numpy as np
import pytest
import torch
from apertures import depth_within, write_text

from raygrad._hidden.defects import find_defects
from raygrad._hidden.pieces import label
from raygrad.data import load_example_ct
from raygrad.drr import DRR
from raygrad.formats import InputError, find_hidden
from raygrad.pose import convert

SIZE = 160


@pytest.fixture(scope="module")
def images():
    """Of the phantom from all sides: noiseless line integrals, 0 in air, 5 at most."""
    drr = DRR(load_example_ct(shape=(80, 80, 48)), sdd=1020.0, height=SIZE, delx=2.5)
    rng = np.random.default_rng(11)
    angles = torch.from_numpy(rng.uniform(-1, 1, (8, 3)) * [180, 20, 20]).float()
    places = torch.from_numpy(rng.uniform(-40, 40, (8, 3)) + np.array([0, 850, 0])).float()
    with torch.no_grad():
        poses = convert(angles, places, parameterization="euler_angles", convention="ZXY", degrees=True)
        drawn = drr(poses)[:, 0]
    return drawn * (5 / drawn.amax((1, 2), keepdim=True))


def noisy(image, photons=20000.0, seed=0):
    counts = torch.poisson(photons * torch.exp(-image), generator=torch.Generator().manual_seed(seed))
    return -(counts.clamp_min(0.5) / photons).log()


@pytest.mark.parametrize("photons", [None, 500.0, 1e5])
def test_of_images_of_a_ct_nothing_is_hidden(images, photons):
    """Bounded by air, and where the CT is cut; in other units, and bent by a gamma."""
    for number, image in enumerate(images):
        drawn = image if photons is None else noisy(image, photons, number)
        for seen in (100 * drawn + 7, drawn.clamp_min(0) ** 0.8):
            found = find_hidden(seen)
            assert found.nothing, f"{number}: {found}"
            assert found.weights.min() == 1


BEYOND = {
    "as bright as nothing": lambda image, depth: torch.where(depth > 0, image, 6.0),
    "air": lambda image, depth: torch.where(depth > 0, image, 0.0),
    "darker": lambda image, depth: torch.where(depth > 0, image, 0.5 * image + 6),
    "few photons": lambda image, depth: noisy(torch.where(depth > 0, image, image + 8)),
}


def depth_of(kind):
    """How far inside of an aperture pixels lie."""
    if kind == "intensifier":  # corners alone are dark
        row, column = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
        return torch.from_numpy(0.55 * SIZE - np.hypot(row, column))
    if kind == "slit":
        row, column = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
        return torch.from_numpy(0.25 * SIZE - np.abs(row * np.cos(0.2) - column * np.sin(0.2)))
    return torch.from_numpy(depth_within(kind, (SIZE, SIZE), np.random.default_rng(2)))


@pytest.mark.parametrize("beyond", BEYOND)
@pytest.mark.parametrize("kind", ["round", "rectangular", "rotated", "octagonal", "slit", "intensifier"])
def test_an_aperture_is_found_whatever_is_beyond(images, kind, beyond):
    """What is painted as bright as air is found where a body, and not air, is within all along it."""
    if beyond == "air" and kind == "intensifier":
        pytest.skip("the corners of this body's images are air as well")
    depth = depth_of(kind)
    filled = [image + 1 if beyond == "air" else image for image in images[:2]]
    for image in filled:
        found = find_hidden(BEYOND[beyond](image, depth))
        assert found.aperture is not None
        wrong = (found.weights > 0) != (depth > 0)
        # At corners; and of eight sides a short one may be missed.
        assert (wrong & (depth.abs() > 2.5)).float().mean() < (0.03 if kind == "octagonal" else 0.005)


@pytest.mark.parametrize("value", [-3.0, 7.0])
def test_text_is_found(images, value):
    for image in images[:3]:
        written, strokes = write_text(noisy(image + 0.5), value)
        found = find_hidden(written)
        assert found.text > 0
        assert not found.weights[strokes].any()
        assert found.weights.mean() > 0.93


def dead(what, image, rng):
    """An image with defects, and where they are."""
    where = torch.zeros_like(image, dtype=torch.bool)
    rows, columns = torch.from_numpy(rng.integers(6, SIZE - 6, (2, 12)))
    image = image.clone()
    if what == "pixels":
        where[rows, columns] = True
    elif what == "clusters":
        for row, column in zip(rows[:6], columns[:6], strict=True):
            where[row : row + 2, column : column + 2] = True
    elif what == "rows":
        where[[40, 90, 91]] = True
    elif what == "part of a column":
        where[:100, 80] = True
    else:
        where[70] = True
    image[where] = image[where] + 1.0 if what == "a row of another gain" else 11.5
    return image, where


@pytest.mark.parametrize("what", ["pixels", "clusters", "rows", "part of a column", "a row of another gain"])
def test_defects_are_found(images, what):
    for number, image in enumerate(images[:4]):
        for drawn in (image, noisy(image, 5000.0)):
            broken, where = dead(what, drawn, np.random.default_rng(number))
            found = find_hidden(broken)
            hidden = found.weights == 0
            assert not (hidden & ~where).any()
            assert hidden[where].float().mean() > (0.75 if what in ("pixels", "clusters") else 0.99)
            assert "dead pixels" in str(found)


def test_what_lies_along_rows_and_stands_out_is_not_dead():
    """A wire that adds to what is behind it, a plate with sharp corners, a bead of several shades."""
    row, column = np.mgrid[:120, :120].astype(float)
    body = 3 * np.exp(-(((row - 60) / 40) ** 2 + ((column - 55) / 30) ** 2))
    wire, plate, bead = body.copy(), body.copy(), body.copy()
    wire[50, 20:90] += 1.0
    plate[30:50, 40:70] += 4.0
    bead += 3 * np.exp(-((row - 70.3) ** 2 + (column - 50.6) ** 2) / 2)
    for image in (body, wire, plate, bead):
        assert not find_defects(image, np.ones(image.shape, bool)).any()


def test_saturated_pixels_are_found_where_the_body_starves_the_detector(images):
    for image in images[:3]:
        clipped = noisy(image).clamp(max=3.0)
        found = find_hidden(clipped)
        torch.testing.assert_close(found.weights, (clipped < 3).float())


def test_arrays_of_numpy_and_of_other_devices_are_taken():
    assert find_hidden(np.eye(3)).nothing
    assert find_hidden(torch.full((4, 5), torch.nan)).nothing
    for wrong in (torch.zeros(1, 1, 8, 8), torch.zeros(0, 4)):
        with pytest.raises(InputError, match="height, width"):
            find_hidden(wrong)
    with pytest.raises(InputError, match="intensity"):
        find_hidden(torch.eye(3), "intensity")


@pytest.mark.parametrize("diagonals", [False, True])
def test_pieces_are_those_that_a_flood_finds(diagonals):
    rng = np.random.default_rng(0)
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)] + [(1, 1), (1, -1), (-1, 1), (-1, -1)] * diagonals
    for size, share in (((1, 1), 1.0), ((1, 9), 0.5), ((9, 1), 0.5), ((12, 17), 0.4), ((20, 20), 0.6)):
        region = rng.random(size) < share
        flooded, count = np.zeros(size, int), 0
        for start in np.argwhere(region):
            if flooded[tuple(start)]:
                continue
            count += 1
            stack = [tuple(start)]
            while stack:
                place = stack.pop()
                if min(place) < 0 or place[0] >= size[0] or place[1] >= size[1]:
                    continue
                if not region[place] or flooded[place]:
                    continue
                flooded[place] = count
                stack += [(place[0] + down, place[1] + right) for down, right in steps]
        found = label(region, diagonals)
        assert ((found > 0) == region).all()
        assert (
            len({*zip(found.ravel().tolist(), flooded.ravel().tolist(), strict=True)} - {(0, 0)})
            == count
            == found.max()
        )
