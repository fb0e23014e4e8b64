"""What a registration moves, what it sees of that, and how what it sees changes: one least-squares problem."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from raygrad.geometry import Calibration, about, motion_derivatives, turned
from raygrad.kernels import sums_in
from raygrad.pose import RigidTransform, se3_log_map
from raygrad.registration._problem.pyramid import Body, Camera
from raygrad.registration._problem.similarity import Features, Similarity
from raygrad.registration._solver.batches import Batch
from raygrad.registration._solver.levenberg_marquardt import Linearisation
from raygrad.types import Images, Matrices, Sources, Targets

RAYS_AT_ONCE = 1 << 20
"""Entries are taken in groups of so many rays, which bounds the memory: each needs about 300 bytes."""

SQUARE = 10
"""Side in pixels of the squares within which residuals may be correlated."""

CALIBRATABLE = (("sdd",), ("x0",), ("y0",), ("delx", "dely"))
"""The arguments of `DRR` that each column of `Unknowns.intrinsics` stands for."""

Steps = Float[Tensor, "batch unknown"]
Tangents = Float[Tensor, "batch unknown ray"]
XrayFeatures = Float[Tensor, "#batch 1 feature"]


@dataclass(frozen=True)
class Unknowns(Batch):
    """States of the search.

    View v sees body b from the pose motions[b] @ offsets[v] @ rig[v], `rig` being where the views began.

    Attributes:
        entry: the number of each state among those of the scene, which has constants for each.
        motions: of each body, in the world.
        offsets: of each view: by how much the relative geometry differs from the assumed one.
        intrinsics: of each view, what is added to sdd, x0 and y0 in mm and to the logarithm of the pixel size.
    """

    entry: Int[Tensor, " batch"]
    motions: Float[Tensor, "batch body 4 4"]
    offsets: Float[Tensor, "batch view 4 4"]
    intrinsics: Float[Tensor, "batch view 4"]

    def __len__(self) -> int:
        return len(self.entry)

    def renumbered(self) -> "Unknowns":
        """The same as the entries 0, 1, 2, ... of another scene."""
        return replace(self, entry=torch.arange(len(self), device=self.entry.device))


@dataclass(frozen=True)
class Sight:
    """One view at one level of the pyramid.

    Attributes:
        camera: its detector, and how its rays are marched.
        bodies: what it sees.
        rig: the pose that it began from, of each entry (entry, 4, 4), in float64.
        xray: the image (1, 1, height, width) to be matched.
        weights: how much each of its pixels counts, (entry or 1, 1, height, width).
    """

    camera: Camera
    bodies: tuple[Body, ...]
    rig: Float[Tensor, "entry 4 4"]
    xray: Float[Tensor, "1 1 height width"]
    weights: Float[Tensor, "#entry 1 height width"]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        return self.camera.detector.height, self.camera.detector.width


@dataclass(frozen=True)
class Scene:
    """All views at one level of the pyramid, and what of them is unknown.

    The unknowns are, in this order: a twist [v | w] (mm, radians) for each body, which moves it from the left, about
    its pivot; one for each view but the first, where relative poses are calibrated; then the intrinsics that are, view
    by view.

    Attributes:
        sights: the views.
        similarity: what is compared.
        pivots: the point that each body turns about, (body, 3), in mm of the world, float64.
        radius: mm that one radian moves a typical point by: makes lengths of steps.
        calibration: which geometry is unknown beside the motions, and how well it is known.
        noise: the variance of a residual (entry,), by which what is known weighs against the images.
    """

    sights: tuple[Sight, ...]
    similarity: Similarity
    pivots: Float[Tensor, "body 3"]
    radius: float
    calibration: Calibration
    noise: Float[Tensor, " entry"]

    # --- the least-squares problem ---

    def linearise(self, unknowns: Unknowns) -> Linearisation:
        """The cost, half its gradient, and J' J."""
        parts = [self._linearise(group) for group in self._groups(unknowns)]
        return parts[0] if len(parts) == 1 else Linearisation.concatenate(parts)

    def moved(self, unknowns: Unknowns, step: Steps) -> Unknowns:
        """The states after a step."""
        batch, views = len(unknowns), len(self.sights)
        turn, relative, intrinsic = step.split(self._block_sizes, dim=1)
        motions = turned(unknowns.motions, turn.reshape(batch, -1, 6), self.pivots)
        offsets, intrinsics = unknowns.offsets, unknowns.intrinsics
        if relative.shape[1]:
            others = turned(offsets[:, 1:], relative.reshape(batch, -1, 6), self.pivots[:1].expand(views - 1, 3))
            offsets = torch.cat([offsets[:, :1], others], dim=1)
        if intrinsic.shape[1]:
            intrinsics = intrinsics.index_add(2, self._columns, intrinsic.reshape(batch, views, -1))
        return Unknowns(unknowns.entry, motions, offsets, intrinsics)

    def step_length(self, step: Steps) -> Float[Tensor, " batch"]:
        """The longest translation or arc of a step's motions in mm."""
        shift, angle = step[:, : self._block_sizes[0]].unflatten(1, (-1, 2, 3)).norm(dim=-1).unbind(-1)
        return torch.maximum(shift, self.radius * angle).amax(-1)

    # --- what the views see ---

    def poses(self, unknowns: Unknowns, view: int) -> Float[Tensor, "batch body 4 4"]:
        """From where a view sees each body."""
        pose = unknowns.offsets[:, view] @ self.sights[view].rig[unknowns.entry]
        return unknowns.motions @ pose[:, None]

    def images(self, unknowns: Unknowns, view: int) -> Images:
        """What a view sees, (batch, 1, height, width)."""
        sight = self.sights[view]
        rays = self._rays(unknowns, view)
        parts = [sight.camera.image(body, *ends) for body, ends in zip(sight.bodies, rays, strict=True)]
        return reduce(add, parts).reshape(len(unknowns), 1, *sight.shape)

    def features(self, unknowns: Unknowns, view: int, derivatives: bool = True) -> tuple[Features, XrayFeatures]:
        """The features of what a view sees, with their derivatives if wanted, and those of its X-ray."""
        sight = self.sights[view]
        if derivatives:
            stack = self._image_and_tangents(unknowns, view).unflatten(2, sight.shape)
        else:
            stack = self.images(unknowns, view)
        weights, fixed = (
            values if len(values) == 1 else values[unknowns.entry] for values in (sight.weights, self._fixed[view])
        )
        return self.similarity(stack, weights), fixed

    def score(self, unknowns: Unknowns) -> Float[Tensor, " batch"]:
        """The mean correlation of features over the views, without derivatives."""
        return torch.cat([self._score(group) for group in self._groups(unknowns)])

    # --- what stays the same at this level ---

    @cached_property
    def _fixed(self) -> tuple[XrayFeatures, ...]:
        """The features of every view's X-ray, for each entry where entries have weights of their own."""
        return tuple(
            torch.cat(
                [
                    self.similarity(sight.xray.expand(len(weights), -1, -1, -1), weights)
                    for weights in sight.weights.split(self._group_size)
                ]
            )
            for sight in self.sights
        )

    @cached_property
    def _calibrations(self) -> tuple[Float[Tensor, "1 4 4"], ...]:
        """Every view's map from pixel units to the camera as it was assumed."""
        return tuple(sight.camera.detector.calibration.matrix.to(self.pivots) for sight in self.sights)

    @cached_property
    def _columns(self) -> Int[Tensor, " column"]:
        """Which columns of the intrinsics are unknown."""
        return torch.tensor(self.calibration.columns, dtype=torch.long, device=self.pivots.device)

    @cached_property
    def _precision(self) -> Float[Tensor, "entry known"]:
        """How much the square of each departure from the known geometry costs, in units of the residuals."""
        return self.noise[:, None] / self.calibration.deviations(len(self.sights)).to(self.noise).square()

    @cached_property
    def _block_sizes(self) -> list[int]:
        """How many of the unknowns are motions, relative poses, intrinsics."""
        views = len(self.sights)
        relative = 0 if self.calibration.relative_pose is None else 6 * (views - 1)
        return [6 * len(self.pivots), relative, views * len(self.calibration.columns)]

    # --- how ---

    @property
    def _group_size(self) -> int:
        """How many entries are taken at once."""
        return max(1, RAYS_AT_ONCE // max(rows * columns for rows, columns in (sight.shape for sight in self.sights)))

    def _groups(self, unknowns: Unknowns) -> list[Unknowns]:
        size = self._group_size
        if len(unknowns) <= size:
            return [unknowns]
        return [unknowns[first : first + size] for first in range(0, len(unknowns), size)]

    def _score(self, unknowns: Unknowns) -> Float[Tensor, " batch"]:
        features = (self.features(unknowns, view, derivatives=False) for view in range(len(self.sights)))
        return torch.stack([_correlation(*pair) for pair in features]).mean(0).to(unknowns.motions)

    def _linearise(self, unknowns: Unknowns) -> Linearisation:
        parts = [self._seen(unknowns, view) for view in range(len(self.sights))]
        if sum(self._block_sizes[1:]):
            parts.append(self._known(unknowns))
        return reduce(add, parts)

    def _seen(self, unknowns: Unknowns, view: int) -> Linearisation:
        """What a view's image says."""
        moving, fixed = self.features(unknowns, view)
        residual, jacobian = moving[:, :1] - fixed, moving[:, 1:]
        pulls = self.similarity.per_pixel(jacobian * residual, self.sights[view].shape)
        squares = functional.avg_pool2d(pulls, SQUARE, ceil_mode=True, divisor_override=1).flatten(2)
        squares = squares.to(unknowns.motions)
        return Linearisation(
            residual.square().sum((1, 2)).to(squares),
            squares.sum(2),
            (jacobian @ jacobian.mT).to(squares),
            squares @ squares.mT,
            _correlation(moving[:, :1], fixed).to(squares) / len(self.sights),
        )

    def _known(self, unknowns: Unknowns) -> Linearisation:
        """What departures from the known geometry cost, in units of the residuals."""
        bodies, relative, _ = self._block_sizes
        departures = []
        if relative:
            # Steps are taken about the first pivot, and there the derivative of the logarithm is 1 to first order.
            offsets = about(-self.pivots[0], unknowns.offsets[:, 1:].flatten(0, 1))
            departures.append(se3_log_map(offsets).reshape(len(unknowns), -1))
        departures.append(unknowns.intrinsics.index_select(2, self._columns).flatten(1))
        departure, precision = torch.cat(departures, dim=1), self._precision[unknowns.entry]
        pull = departure * precision
        # Motions may be any.
        gradient, diagonal = functional.pad(torch.stack([pull, precision]), (bodies, 0))
        normal = torch.diag_embed(diagonal)
        cost = (departure * pull).sum(1)
        return Linearisation(cost, gradient, normal, torch.zeros_like(normal), torch.zeros_like(cost))

    def _image_and_tangents(self, unknowns: Unknowns, view: int) -> Float[Tensor, "batch stack ray"]:
        """A view's line integrals, and their derivatives by every unknown."""
        sight = self.sights[view]
        images, by_motion, by_offset, by_intrinsic = [], [], [], []
        for number, (body, (source, target)) in enumerate(zip(sight.bodies, self._rays(unknowns, view), strict=True)):
            line_integrals, jacobian = sight.camera.image_with_jacobian(body, source, target)
            images.append(line_integrals)
            by_motion.append(motion_derivatives(jacobian, source, target, self.pivots[number].to(source)))
            if self.calibration.relative_pose is not None and view > 0:
                carried = _carry(unknowns.motions[:, number], self.pivots[0], self.pivots[number])
                by_offset.append(carried.to(source).mT @ by_motion[-1])
            if self.calibration.columns:
                axes = self._intrinsic_axes(unknowns, view, number, target)
                by_intrinsic.append((jacobian[..., None, 3:] * axes).sum(-1).mT)
        image = reduce(add, images)[:, None]
        _, relative, intrinsic = self._block_sizes
        blocks = [image, *by_motion]
        if relative:
            blocks.append(_placed(by_offset, view - 1, relative, image))
        if intrinsic:
            blocks.append(_placed(by_intrinsic, view, intrinsic, image))
        return torch.cat(blocks, dim=1)

    def _rays(self, unknowns: Unknowns, view: int) -> Iterator[tuple[Sources, Targets]]:
        """A view's rays in the world of every body, in the dtype in which they are marched."""
        sight = self.sights[view]
        calibration = self._calibration(unknowns, view) if self.calibration.columns else None
        for pose, body in zip(self.poses(unknowns, view).unbind(1), sight.bodies, strict=True):
            source, target = sight.camera.detector(RigidTransform(pose), calibration)
            dtype = sums_in(body.density.dtype)
            yield source.to(dtype), target.to(dtype)

    def _calibration(self, unknowns: Unknowns, view: int) -> Matrices:
        """A view's map from pixel units to the camera."""
        return _adjusted(self._calibrations[view], unknowns.intrinsics[:, view])

    def _intrinsic_axes(
        self, unknowns: Unknowns, view: int, number: int, target: Targets
    ) -> Float[Tensor, "batch ray intrinsic 3"]:
        """How targets move with the intrinsics that are calibrated: sdd along the beam, x0 and y0 across, size out."""
        detector = self.sights[view].camera.detector
        frame = detector.camera_to_world(RigidTransform(self.poses(unknowns, view)[:, number])).matrix
        calibration = self._calibration(unknowns, view)
        middle = (frame @ (calibration[..., 2:3] + calibration[..., 3:]))[:, None, :3, 0].to(target)
        across_x, across_y, beam = (frame[:, None, :3, axis].to(target).expand_as(target) for axis in range(3))
        axes = [beam, across_x, across_y, target - middle]
        return torch.stack([axes[column] for column in self.calibration.columns], dim=2)


def _correlation(moving: XrayFeatures, fixed: XrayFeatures) -> Float[Tensor, " batch"]:
    """The cosine of the angle between features; 0 where an image has none."""
    lengths = moving.norm(dim=-1) * fixed.norm(dim=-1)
    return ((moving * fixed).sum(-1) / lengths.clamp_min(torch.finfo(lengths.dtype).tiny))[:, 0]


def _placed(derivatives: list[Tensor], place: int, size: int, image: Tensor) -> Tangents:
    """A view's derivatives, summed over the bodies, among those of all views, which it does not feel."""
    if not derivatives:
        return image.new_zeros(len(image), size, image.shape[2])
    mine = reduce(add, derivatives)
    before = place * mine.shape[1]
    return functional.pad(mine, (0, 0, before, size - before - mine.shape[1]))


def _carry(motion: Matrices, before: Float[Tensor, " 3"], after: Float[Tensor, " 3"]) -> Float[Tensor, "batch 6 6"]:
    """The matrix that takes a twist about `before`, made before a motion, to the one about `after`, made after it."""
    rotation = motion[:, :3, :3]
    moved = rotation @ before + motion[:, :3, 3]
    x, y, z = (after - moved).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    top = torch.cat([rotation, -cross @ rotation], dim=-1)
    return torch.cat([top, torch.cat([torch.zeros_like(rotation), rotation], dim=-1)], dim=-2)


def _adjusted(calibration: Float[Tensor, "1 4 4"], intrinsics: Float[Tensor, "batch 4"]) -> Matrices:
    """A detector's map from pixel units to the camera (1, 4, 4), with what is added to its intrinsics."""
    adjusted = calibration.repeat(len(intrinsics), 1, 1)
    adjusted[:, :2, :2] *= intrinsics[:, 3, None, None].exp()
    adjusted[:, 2, 2] += intrinsics[:, 0]
    adjusted[:, :2, 3] += intrinsics[:, 1:3]
    return adjusted
