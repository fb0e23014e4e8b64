"""The aperture of an X-ray: the opening of a shutter, collimator or image intensifier, found in the picture itself.

Two things give it away. Beyond it little was measured, so there the picture is flat up to its border, or at least dark;
and its outline is a step everywhere, along a circle or a few straight sides. Bodies have outlines of other shapes, and
where a body ends the picture changes gradually.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from raygrad._hidden.convex_shapes import ConvexShape, convex_outline, fit_convex_shapes
from raygrad._hidden.pieces import label

Numbers = Float[np.ndarray, "height width"]

_LEAST_PIXELS = 64  # of rows and columns: in fewer any outline is straight
_LEAST_HIDDEN, _LEAST_SHOWN = 0.01, 0.1  # of the image
_LEAST_AT_BORDER = 0.05  # of the border's pixels
_FLAT = 0.02  # what is flat scatters by less, of the range of the pixels
_STEP = 0.05  # a step's least height, of the range of the line integrals within
_STEEP = 2.5  # its least height, of the change over the next pixels inwards
_SLOPE = 0.05  # of the picture's range in a pixel, at an edge
_PENUMBRA = 0.04  # the farthest from a blurred edge to its foot, of the image
_ELSEWHERE = 0.45  # of the edges in an image with an aperture are not its own
_EDGE_PIXELS = 256  # the longer side of the image in which apertures without a flat outside are sought


def find_aperture(pixels: Numbers, integrals: Numbers, painted: bool = True) -> ConvexShape | None:
    """The opening that the picture was taken through, None if it shows none.

    Args:
        pixels: as the file has them.
        integrals: the same as line integrals, bone high.
        painted: what lies beyond may have been made as bright as air for the eye.
    """
    if min(pixels.shape) < _LEAST_PIXELS:
        return None
    flat, rippled = _flat_levels(pixels)
    return (
        _first_around(flat, pixels, integrals, painted)
        or _in_dark_surroundings(integrals)
        or _first_around(rippled, pixels, integrals, painted)
    )


def _first_around(
    levels: Sequence[tuple[float, float]], pixels: Numbers, integrals: Numbers, painted: bool
) -> ConvexShape | None:
    found = (_around_flat(pixels, integrals, level, tolerance, painted) for level, tolerance in levels)
    return next((shape for shape in found if shape is not None), None)


def _flat_levels(pixels: Numbers) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """What values gather at along the image's border, with how far they scatter, and with how far JPEG's ripples go."""
    border = np.sort(np.concatenate([pixels[:2], pixels[-2:], pixels[:, :2].T, pixels[:, -2:].T], axis=None))
    low, high = np.quantile(pixels, (0.01, 0.99))
    reach = _FLAT * (high - low)
    run = len(border) // 5
    start = int((border[run:] - border[:-run]).argmin())  # the narrowest fifth
    level = float(np.median(border[start : start + run]))
    levels: list[tuple[float, float]] = []
    for value in (level, float(border[0]), float(border[-1])):
        away = np.abs(border - value)
        near = away[away <= reach]
        scatter = 5 * 1.4826 * float(np.median(near))
        if len(near) > _LEAST_AT_BORDER * len(border) and all(value != other for other, _ in levels):
            levels.append((value, min(scatter, reach)))
    return levels, [(value, reach) for value, scatter in levels if scatter == 0 < reach]


def _around_flat(
    pixels: Numbers, integrals: Numbers, level: float, tolerance: float, painted: bool
) -> ConvexShape | None:
    """The aperture in a flat region that reaches the image's border."""
    outside = _reaching_border(np.abs(pixels - level) <= tolerance)
    region = _largest(~outside)
    if not _LEAST_HIDDEN <= outside.mean() or not _LEAST_SHOWN <= region.mean():
        return None
    dark = np.median(integrals[outside]) > np.quantile(integrals[region], 0.9)
    pixel = 0.75 + 0.0015 * max(pixels.shape)
    points, middle = convex_outline(region, pixel), np.argwhere(region).mean(axis=0)[::-1]
    # Air is as bright as some painted shutters: those are flat, and on all sides of the picture.
    if not dark and (not painted or tolerance > 0 or _widest_gap(points - middle) > np.deg2rad(120)):
        return None
    for allowed in (pixel, 2 * pixel)[: 2 if dark else 1]:  # image intensifiers distort circles a little
        shapes = fit_convex_shapes(points, middle, allowed)
        shape = _with_most_steps(shapes, integrals, 0.8 if dark else 0.75, either=not dark)
        blur = 0.0
        if shape is None and dark:
            shape, blur = _behind_penumbra(shapes, integrals)
        if shape is not None:
            beyond = shape.depth_of_pixels(pixels.shape) < -allowed
            empty = beyond.any() and region[beyond].mean() <= 0.03
            shape = shape.shrunk(2 * blur)
            return shape if empty and _hides_sensibly(shape, pixels.shape) else None
    return None


def _behind_penumbra(shapes: Sequence[ConvexShape], integrals: Numbers) -> tuple[ConvexShape | None, float]:
    """A shape around a blurred edge, whose steps are further in, and how far: as far again it fades out."""
    for blur in np.arange(1, _PENUMBRA * max(integrals.shape), 1.0):
        for shape in shapes:
            if (_steps(integrals, shape.shrunk(blur), 2.0) > 0).mean() > 0.9:
                return shape, float(blur)
    return None, 0.0


def _widest_gap(around: np.ndarray) -> float:
    """The greatest angle in which none of the points (point, 2) are seen from the origin."""
    angles = np.sort(np.arctan2(around[:, 1], around[:, 0]))
    return float(np.diff(angles, append=angles[:1] + 2 * np.pi).max(initial=0)) if len(angles) else 2 * np.pi


def _in_dark_surroundings(integrals: Numbers) -> ConvexShape | None:
    """An aperture whose surroundings let some X-rays through, or scatter: darker all along its outline."""
    sharp = -(-max(integrals.shape) // _EDGE_PIXELS)
    return _in_surroundings(integrals, sharp, 1.0) or _in_surroundings(integrals, 2 * sharp, 2.0)


def _in_surroundings(integrals: Numbers, factor: int, width: float) -> ConvexShape | None:
    """The same, with edges that are sharp in an image reduced by a factor, and so many times wider in the whole one."""
    if min(integrals.shape) < _LEAST_PIXELS * factor:
        return None
    rows, columns = (size // factor for size in integrals.shape)
    small = integrals[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor).mean(axis=(1, 3))
    low, high = np.quantile(small, (0.02, 0.98))
    points = np.concatenate(
        [
            _steepest(numbers, _SLOPE * (high - low), turned, mirrored)
            for turned, numbers in ((False, small), (True, small.T))
            for mirrored in (False, True)
        ]
    )
    middle = (np.array([columns, rows]) - 1) / 2
    shapes = fit_convex_shapes(points, middle, 1.2, unexplained=_ELSEWHERE)
    shapes = [shape.scaled(factor) for shape in shapes if len(shape.sides) != 1]
    whole = [s for s in shapes if s.closes(integrals.shape) or s.is_slit(integrals.shape)]
    in_corners = points[np.linalg.norm(points - middle, axis=1) > middle.min()]
    discs = [s.scaled(factor) for s in fit_convex_shapes(in_corners, middle, 1.2, 0.3) if not len(s.sides)]
    whole += [s for s in discs if s.rounds_corners(integrals.shape)]
    whole = [shape for shape in whole if _hides_sensibly(shape, integrals.shape)]
    shape = _with_most_steps(whole, integrals, 0.9, width=width)
    return None if shape is None else shape.shrunk((width - 1) * _reach(integrals))


def _steepest(image: Numbers, least: float, turned: bool, mirrored: bool) -> np.ndarray:
    """Where each line of an image steps down most, in one direction: (point, 2), column and row."""
    seen = (image[:-2] + image[1:-1] + image[2:]) / 3  # edges along the other axis stay sharp
    seen = seen[:, ::-1] if mirrored else seen
    change = (seen[:, 2:] - seen[:, :-2]) / 2
    lines = np.flatnonzero(change.min(axis=1) < -least)
    place = change[lines].argmin(axis=1) + 1
    place = image.shape[1] - 1 - place if mirrored else place
    return np.stack([lines + 1, place] if turned else [place, lines + 1], axis=-1).astype(float)


def _with_most_steps(
    shapes: Sequence[ConvexShape], integrals: Numbers, least: float, either: bool = False, width: float = 1.0
) -> ConvexShape | None:
    """The first shape along whose outline the picture steps up outwards (or either way) about as much as along any."""
    found = [(_steps(integrals, shape, width), shape) for shape in shapes]
    shares = [((steps != 0 if either else steps > 0).mean(), shape) for steps, shape in found]
    best = max((share for share, _ in shares), default=0.0)
    return next((shape for share, shape in shares if share >= best - 0.03 and share > least), None)


def _hides_sensibly(shape: ConvexShape, size: tuple[int, int]) -> bool:
    shown = (shape.depth_of_pixels(size, _every(size)) > 0).mean()
    return bool(_LEAST_SHOWN <= shown <= 1 - _LEAST_HIDDEN)


def _every(size: tuple[int, ...]) -> int:
    """Which rows and columns are enough for the shares of an image."""
    return max(1, max(size) // _EDGE_PIXELS)


def _reach(integrals: Numbers) -> float:
    """How far from a sharp outline pixels are beyond its blur."""
    return max(2.0, 0.006 * max(integrals.shape))


def _steps(integrals: Numbers, shape: ConvexShape, width: float = 1.0) -> np.ndarray:
    """Along the outline: 1 where the picture steps up outwards, to less X-rays, -1 where down, 0 where neither.

    The edge may be so many times as wide as that of a sharp outline.
    """
    reach = width * _reach(integrals)
    points, normals = shape.outline(integrals.shape, 1.5 * reach)

    def at(depth: float) -> np.ndarray:
        column, row = np.rint(points - depth * normals).astype(int).T
        inside = (column >= 0) & (row >= 0) & (column < integrals.shape[1]) & (row < integrals.shape[0])
        return np.where(inside, integrals[row * inside, column * inside], np.nan)

    step, next_step = at(-reach) - at(reach), at(reach) - at(2.5 * reach)
    every = _every(integrals.shape)
    within = integrals[::every, ::every][shape.depth_of_pixels(integrals.shape, every) > reach]
    if not len(points) or not len(within):
        return np.zeros(1)
    low, high = np.quantile(within, (0.02, 0.98))
    is_step = (np.abs(step) > _STEP * (high - low)) & (np.abs(step) > _STEEP * np.abs(next_step))
    return np.sign(step) * is_step


def _reaching_border(region: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """The parts of a region that are connected to the image's border."""
    pieces = label(region)
    border = np.unique(np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]]))
    return np.isin(pieces, border[border > 0])


def _largest(region: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    pieces = label(region)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return (pieces == sizes.argmax()) & region
