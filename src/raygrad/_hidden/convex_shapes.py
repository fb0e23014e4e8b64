"""Convex shapes of shutters and collimators: a disc, half-planes, or both, fitted to points of an outline."""

from dataclasses import dataclass

import numpy as np

_SIDES = 8  # octagons are the most that collimators have
_SHORTEST_SIDE = 0.03  # of the outline
_CORNER = 0.03  # of an image: a corner is this far beyond a disc, at least
_MOST_POINTS, _VOTERS = 1200, 300  # more say nothing new
_LEAST_LEFT = 0.03  # of its points


@dataclass(frozen=True)
class ConvexShape:
    """A disc cut by half-planes, in pixel coordinates (column, row) that count from the first pixel's centre.

    Attributes:
        disc: centre's column and row, radius; None without one.
        sides: lines (n_column, n_row, offset): inside is where n . p <= offset; n has the length 1.
    """

    disc: tuple[float, float, float] | None
    sides: np.ndarray

    def depth(self, points: np.ndarray) -> np.ndarray:
        """How far inside of the outline points (..., 2) lie, in pixels; negative outside."""
        depths = [offset - points @ np.array([x, y]) for x, y, offset in self.sides]
        if self.disc is not None:
            depths.append(self.disc[2] - np.hypot(points[..., 0] - self.disc[0], points[..., 1] - self.disc[1]))
        return np.minimum.reduce(depths)

    def depth_of_pixels(self, shape: tuple[int, int], step: int = 1) -> np.ndarray:
        """The same of every pixel of an image (rows, columns), or of every second one, and so on."""
        row, column = np.ogrid[: shape[0] : step, : shape[1] : step]
        depths = [offset - (x * column + y * row) for x, y, offset in self.sides]
        if self.disc is not None:
            depths.append(self.disc[2] - np.hypot(column - self.disc[0], row - self.disc[1]))
        least = depths[0]
        for depth in depths[1:]:
            np.minimum(least, depth, out=least)
        return np.broadcast_to(least, row.shape[:1] + column.shape[1:])

    def outline(self, shape: tuple[int, int], margin: float) -> tuple[np.ndarray, np.ndarray]:
        """Points on the outline, one a pixel, and normals that point outwards.

        Those are left out that are nearer to the image's border than `margin`.
        """
        reach = float(np.hypot(*shape))
        points, normals = [], []
        for x, y, offset in self.sides:
            steps = np.arange(-reach, reach)
            foot = np.array([x, y]) * offset
            points.append(foot + steps[:, None] * np.array([-y, x]) + _along(foot, shape, (x, y)))
            normals.append(np.broadcast_to(np.array([x, y]), points[-1].shape))
        if self.disc is not None:
            angles = np.arange(0, 2 * np.pi, 1 / self.disc[2])
            normals.append(np.stack([np.cos(angles), np.sin(angles)], axis=-1))
            points.append(np.array(self.disc[:2]) + self.disc[2] * normals[-1])
        along, outwards = np.concatenate(points), np.concatenate(normals)
        last = np.array([shape[1] - 1, shape[0] - 1])
        kept = ((along >= margin) & (along <= last - margin)).all(axis=-1)
        along, outwards = along[kept], outwards[kept]
        kept = self.depth(along) > -1e-6
        return along[kept], outwards[kept]

    def shrunk(self, by: float) -> "ConvexShape":
        """The shape with its outline so many pixels further in."""
        sides = self.sides.copy()
        sides[:, 2] -= by
        return ConvexShape(None if self.disc is None else (*self.disc[:2], max(self.disc[2] - by, 1.0)), sides)

    def scaled(self, factor: int) -> "ConvexShape":
        """The shape in an image of which each pixel here is the mean of `factor` x `factor`."""
        shift = (factor - 1) / 2
        disc = None
        if self.disc is not None:
            disc = (self.disc[0] * factor + shift, self.disc[1] * factor + shift, self.disc[2] * factor)
        sides = self.sides.copy()
        sides[:, 2] = sides[:, 2] * factor + shift * sides[:, :2].sum(axis=1)
        return ConvexShape(disc, sides)

    def closes(self, size: tuple[int, int]) -> bool:
        """Whether most of its outline is in an image (rows, columns)."""
        rows, columns = size
        shift = np.array([columns, rows])
        moved = self.sides.copy()
        moved[:, 2] += moved[:, :2] @ shift
        disc = None if self.disc is None else (self.disc[0] + columns, self.disc[1] + rows, self.disc[2])
        wider = ConvexShape(disc, moved)
        return len(self.outline(size, 0.0)[0]) > 0.6 * len(wider.outline((3 * rows, 3 * columns), 0.0)[0])

    def is_slit(self, size: tuple[int, int]) -> bool:
        """Whether it is what two parallel sides leave of an image (rows, columns), each from border to border."""
        if self.disc is not None or len(self.sides) != 2 or self.sides[0, :2] @ self.sides[1, :2] > -0.998:
            return False
        corners = np.array([[0, 0], [size[1], 0], [0, size[0]], [size[1], size[0]]]) - 0.5
        beyond = corners @ self.sides[:, :2].T > self.sides[:, 2]
        return bool((beyond.sum(axis=0) == 2).all())

    def rounds_corners(self, size: tuple[int, int]) -> bool:
        """Whether it is a disc about the middle of an image (rows, columns) that leaves out at least three corners."""
        if self.disc is None or len(self.sides):
            return False
        corners = np.array([[0, 0], [size[1] - 1, 0], [0, size[0] - 1], [size[1] - 1, size[0] - 1]])
        away = np.abs(np.array(self.disc[:2]) - corners.mean(axis=0))
        return bool((self.depth(corners) < -_CORNER * min(size)).sum() >= 3 and away.max() < 0.1 * min(size))

    def __str__(self) -> str:
        if self.disc is not None:
            return "partly round" if len(self.sides) else "round"
        turns = np.abs(self.sides[:, :2] @ self.sides[:, :2].T)
        if len(self.sides) <= 4 and (np.minimum(turns, 1 - turns) < 0.03).all():
            return "rectangular"
        return "octagonal" if len(self.sides) == _SIDES else "polygonal"


def _along(foot: np.ndarray, shape: tuple[int, int], normal: tuple[float, float]) -> np.ndarray:
    """From the foot of the origin's perpendicular to that of the image's centre, along a line."""
    direction = np.array([-normal[1], normal[0]])
    centre = np.array([shape[1] - 1, shape[0] - 1]) / 2
    return direction * round(float((centre - foot) @ direction))


def fit_convex_shapes(
    points: np.ndarray, inside: np.ndarray, tolerance: float, unexplained: float = 0.03
) -> list[ConvexShape]:
    """The disc, the polygon of at most eight sides, or the disc with straight cuts that an outline is.

    Args:
        points: of the outline, (point, 2), column and row.
        inside: a point within, (2,).
        tolerance: how far from the shape points of it may lie, in pixels.
        unexplained: the part of the points that may lie elsewhere.

    Returns:
        Those of the three that the points lie on, of polygons all whose sides have been added up to then; a disc alone
        if that is enough.
    """
    if len(points) < 12:
        return []
    rng = np.random.default_rng(0)
    around = points - inside
    points = points[np.argsort(np.arctan2(around[:, 1], around[:, 0]))]
    points = points[:: max(1, -(-len(points) // _MOST_POINTS))]
    few = unexplained * len(points)
    disc = _consensus_disc(points, tolerance, rng)
    on_disc = np.zeros(len(points), bool) if disc is None else _on_disc(points, disc, tolerance)
    if (~on_disc).sum() <= few:
        return [ConvexShape(disc, np.zeros((0, 3)))]
    shapes = []
    for sides in _consensus_sides(points, inside, tolerance, rng, few):
        shapes.append(ConvexShape(None, sides))
    if on_disc.sum() > 0.2 * len(points):
        for sides in _consensus_sides(points[~on_disc], inside, tolerance, rng, few):
            shapes.append(ConvexShape(disc, sides))
    return shapes


def _consensus_sides(
    points: np.ndarray, inside: np.ndarray, tolerance: float, rng: np.random.Generator, few: float
) -> list[np.ndarray]:
    """The lines of most points, one after the other: from as many on as leave few points on none of them."""
    sides: list[np.ndarray] = []
    found: list[np.ndarray] = []
    shortest, least = max(6, _SHORTEST_SIDE * len(points)), min(few, _LEAST_LEFT * len(points))
    while len(points) > least and len(sides) < _SIDES:
        line = _consensus_line(points, inside, tolerance, rng)
        if line is None or (on_line := _on_line(points, line, tolerance)).sum() < shortest:
            break
        sides.append(line)
        points = points[~on_line]
        if len(points) <= few:
            found.append(np.array(sides))
    return found


def convex_outline(region: np.ndarray, tolerance: float) -> np.ndarray:
    """Points (point, 2) of a region's outline that lie on its convex hull and not on the image's border.

    They are the outer edges of the first and last pixels of every row and column.
    """
    ends = []
    for axis, pixels in enumerate((region, region.T)):
        lines = np.flatnonzero(pixels.any(axis=1))
        first, last = pixels[lines].argmax(axis=1), pixels.shape[1] - 1 - pixels[lines, ::-1].argmax(axis=1)
        for place, edge, border in ((first, -0.5, 0), (last, 0.5, pixels.shape[1] - 1)):
            found = np.stack([place + edge, lines], axis=-1)[:, :: 1 if axis == 0 else -1]
            ends.append((found, place != border))
    points, free = (np.concatenate(parts) for parts in zip(*ends, strict=True))
    hull = _hull(points)
    starts, edges = hull, np.roll(hull, -1, axis=0) - hull
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=-1) / np.linalg.norm(edges, axis=1, keepdims=True)
    depth = ((normals * starts).sum(axis=1) - points @ normals.T).min(axis=1)
    return points[free & (depth <= tolerance)]


def _hull(points: np.ndarray) -> np.ndarray:
    """The corners of the convex hull, counterclockwise (Andrew's monotone chain)."""
    ordered = [tuple(point) for point in np.unique(points, axis=0)]

    def half(chain: list) -> list:
        kept: list = []
        for x, y in chain:
            while len(kept) > 1:
                (x0, y0), (x1, y1) = kept[-2:]
                if (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) > 0:
                    break
                kept.pop()
            kept.append((x, y))
        return kept[:-1]

    return np.array(half(ordered) + half(ordered[::-1]))


def _on_line(points: np.ndarray, line: np.ndarray, tolerance: float) -> np.ndarray:
    return np.abs(points @ line[:2] - line[2]) <= tolerance


def _on_disc(points: np.ndarray, disc: tuple[float, float, float], tolerance: float) -> np.ndarray:
    return np.abs(np.linalg.norm(points - disc[:2], axis=-1) - disc[2]) <= tolerance


def _consensus_line(
    points: np.ndarray, inside: np.ndarray, tolerance: float, rng: np.random.Generator
) -> np.ndarray | None:
    """The line of most points, which are in their order along the outline, refined by least squares."""
    count = len(points)
    if count < 6:
        return None
    first = rng.integers(0, count, 300)
    second = (first + rng.integers(3, max(4, count // 4), 300)) % count
    along = points[second] - points[first]
    lengths = np.linalg.norm(along, axis=1)
    apart = lengths > 4 * tolerance
    if not apart.any():
        return None
    normals = np.stack([along[apart, 1], -along[apart, 0]], axis=-1) / lengths[apart, None]
    offsets = (normals * points[first[apart]]).sum(axis=1)
    votes = (np.abs(points @ normals.T - offsets) <= tolerance).sum(axis=0)
    best = votes.argmax()
    line = np.array([*normals[best], offsets[best]])
    for _ in range(2):
        near = points[_on_line(points, line, tolerance)]
        normal = np.linalg.svd(near - near.mean(axis=0), full_matrices=False)[2][1]
        line = np.array([*normal, normal @ near.mean(axis=0)])
    return line if line[:2] @ inside <= line[2] else -line


def _consensus_disc(
    points: np.ndarray, tolerance: float, rng: np.random.Generator
) -> tuple[float, float, float] | None:
    """The circle of most points, refined by least squares."""
    if len(points) < 12:
        return None
    a, b, c = points[rng.integers(0, len(points), (3, 1500))]
    ab, ac = b - a, c - a
    determinant = 2 * (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])
    apart = np.abs(determinant) > 1.0
    if not apart.any():
        return None
    a, ab, ac, determinant = a[apart], ab[apart], ac[apart], determinant[apart, None]
    squares = (ab**2).sum(axis=1, keepdims=True), (ac**2).sum(axis=1, keepdims=True)
    centres = (
        a
        + np.concatenate(
            [ac[:, 1:] * squares[0] - ab[:, 1:] * squares[1], ab[:, :1] * squares[1] - ac[:, :1] * squares[0]], axis=1
        )
        / determinant
    )
    radii = np.linalg.norm(a - centres, axis=1)
    voters = points[:: max(1, -(-len(points) // _VOTERS)), None]
    distances = np.hypot(voters[..., 0] - centres[:, 0], voters[..., 1] - centres[:, 1])
    best = (np.abs(distances - radii) <= tolerance).sum(axis=0).argmax()
    disc = (float(centres[best, 0]), float(centres[best, 1]), float(radii[best]))
    for _ in range(3):
        disc = least_squares_disc(points[_on_disc(points, disc, 2 * tolerance)]) or disc
    return disc


def least_squares_disc(points: np.ndarray) -> tuple[float, float, float] | None:
    """The circle whose equation points fit best (Kasa's fit); None if they lie on a line."""
    if len(points) < 3:
        return None
    middle = points.mean(axis=0)
    around = points - middle
    matrix = np.concatenate([2 * around, np.ones((len(points), 1))], axis=1)
    (x, y, rest), _, rank, _ = np.linalg.lstsq(matrix, (around**2).sum(axis=1), rcond=None)
    if rank < 3:
        return None
    return float(x + middle[0]), float(y + middle[1]), float(np.sqrt(rest + x * x + y * y))
