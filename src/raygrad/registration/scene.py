"""What a registration moves, what it sees of that, and how what it sees changes: one least-squares problem."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from raygrad.pose import RigidTransform, se3_log_map
from raygrad.registration.calibration import Calibration
from raygrad.registration.levenberg_marquardt import Linearisation
from raygrad.registration.motions import about, motion_derivatives, turned
from raygrad.registration.pyramid import Body, Camera
from raygrad.registration.similarity import Features, Similarity
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
class Unknowns:
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

    def __getitem__(self, index: Tensor | slice) -> "Unknowns":
        return Unknowns(*(value[index] for value in vars(self).values()))

    def renumbered(self) -> "Unknowns":
        """The same as the entries 0, 1, 2, ... of another scene."""
        return replace(self, entry=torch.arange(len(self), device=self.entry.device))

    def overwritten(self, index: Tensor, other: "Unknowns") -> "Unknowns":
        """The same with these states replaced."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Unknowns(*(mine.index_copy(0, index, theirs) for mine, theirs in pairs))


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
        turn, relative, intrinsic = step.split(self._block_sizes(), dim=1)
        motions = turned(unknowns.motions, turn.reshape(batch, -1, 6), self.pivots)
        offsets, intrinsics = unknowns.offsets, unknowns.intrinsics
        if relative.shape[1]:
            others = turned(offsets[:, 1:], relative.reshape(batch, -1, 6), self.pivots[:1].expand(views - 1, 3))
            offsets = torch.cat([offsets[:, :1], others], dim=1)
        if intrinsic.shape[1]:
            intrinsics = intrinsics.clone()
            intrinsics[:, :, self.calibration.columns] += intrinsic.reshape(batch, views, -1)
        return Unknowns(unknowns.entry, motions, offsets, intrinsics)

    def step_length(self, step: Steps) -> Float[Tensor, " batch"]:
        """The longest translation or arc of a step's motions in mm."""
        turn = step[:, : self._block_sizes()[0]].unflatten(1, (-1, 2, 3)).norm(dim=-1)
        return (turn * turn.new_tensor([1.0, self.radius])).amax((-2, -1))

    # --- what the views see ---

    def poses(self, unknowns: Unknowns, view: int) -> Float[Tensor, "batch body 4 4"]:
        """From where a view sees each body."""
        pose = unknowns.offsets[:, view] @ self.sights[view].rig[unknowns.entry]
        return unknowns.motions @ pose[:, None]

    def images(self, unknowns: Unknowns, view: int) -> Images:
        """What a view sees, (batch, 1, height, width)."""
        sight = self.sights[view]
        rays = (self._rays(unknowns, view, number) for number in range(len(sight.bodies)))
        parts = [sight.camera.image(body, *ends) for body, ends in zip(sight.bodies, rays, strict=True)]
        return torch.stack(parts).sum(0).reshape(len(unknowns), 1, *sight.shape)

    def features(self, unknowns: Unknowns, view: int, derivatives: bool = True) -> tuple[Features, XrayFeatures]:
        """The features of what a view sees, with their derivatives if wanted, and those of its X-ray."""
        sight = self.sights[view]
        if derivatives:
            stack = self._image_and_tangents(unknowns, view).unflatten(2, sight.shape)
        else:
            stack = self.images(unknowns, view)
        weights = sight.weights if len(sight.weights) == 1 else sight.weights[unknowns.entry]
        return self.similarity(stack, weights), self.similarity(sight.xray.expand(len(weights), -1, -1, -1), weights)

    def score(self, unknowns: Unknowns) -> Float[Tensor, " batch"]:
        """The mean correlation of features over the views, without derivatives."""
        return torch.cat([self._score(group) for group in self._groups(unknowns)])

    # --- how ---

    def _groups(self, unknowns: Unknowns) -> list[Unknowns]:
        rays = max(rows * columns for rows, columns in (sight.shape for sight in self.sights))
        size = max(1, RAYS_AT_ONCE // rays)
        return [unknowns[first : first + size] for first in range(0, len(unknowns), size)]

    def _score(self, unknowns: Unknowns) -> Float[Tensor, " batch"]:
        features = (self.features(unknowns, view, derivatives=False) for view in range(len(self.sights)))
        return torch.stack([functional.cosine_similarity(m, f, dim=-1)[:, 0] for m, f in features]).mean(0).double()

    def _linearise(self, unknowns: Unknowns) -> Linearisation:
        cost, gradient, normal = self._prior(unknowns)
        scatter, score = torch.zeros_like(normal), torch.zeros_like(cost)
        for view, sight in enumerate(self.sights):
            moving, fixed = self.features(unknowns, view)
            residual, jacobian = moving[:, :1] - fixed, moving[:, 1:]
            cost = cost + residual.square().sum((1, 2))
            normal = normal + jacobian @ jacobian.mT
            pulls = self.similarity.per_pixel(jacobian * residual, sight.shape)
            squares = functional.avg_pool2d(pulls, SQUARE, ceil_mode=True, divisor_override=1).flatten(2).double()
            gradient = gradient + squares.sum(2)
            scatter = scatter + squares @ squares.mT
            score = score + functional.cosine_similarity(moving[:, 0], fixed[:, 0], dim=-1) / len(self.sights)
        return Linearisation(cost, gradient, normal, scatter, score)

    def _prior(self, unknowns: Unknowns) -> tuple[Tensor, Tensor, Tensor]:
        """What departures from the known geometry cost, in units of the residuals: cost, half its gradient, J' J."""
        deviations = self.calibration.deviations(len(self.sights)).to(unknowns.motions)
        values = unknowns.motions.new_zeros(len(unknowns), sum(self._block_sizes()))
        precision = torch.zeros_like(values)
        if len(deviations):
            # Steps are taken about the first pivot, and there the derivative of the logarithm is 1 to first order.
            offsets = about(-self.pivots[0], unknowns.offsets[:, 1:].flatten(0, 1))
            relative = se3_log_map(offsets).reshape(len(unknowns), -1)
            intrinsic = unknowns.intrinsics[:, :, self.calibration.columns].flatten(1)
            known = torch.cat([relative[:, : self._block_sizes()[1]], intrinsic], dim=1)
            values[:, -len(deviations) :] = known
            precision[:, -len(deviations) :] = self.noise[unknowns.entry][:, None] / deviations.square()
        pull = values * precision
        return (values * pull).sum(1), pull, torch.diag_embed(precision)

    def _image_and_tangents(self, unknowns: Unknowns, view: int) -> Float[Tensor, "batch stack ray"]:
        """A view's line integrals, and their derivatives by every unknown."""
        sight = self.sights[view]
        images, by_motion, by_offset, by_intrinsic = [], [], [], []
        for number, body in enumerate(sight.bodies):
            source, target = self._rays(unknowns, view, number)
            line_integrals, jacobian = sight.camera.image_with_jacobian(body, source, target)
            images.append(line_integrals)
            by_motion.append(motion_derivatives(jacobian, source, target, self.pivots[number].to(source)))
            if self.calibration.relative_pose is not None and view > 0:
                carried = _carry(unknowns.motions[:, number], self.pivots[0], self.pivots[number])
                by_offset.append(carried.to(source).mT @ by_motion[-1])
            if self.calibration.columns:
                axes = self._intrinsic_axes(unknowns, view, number, target)
                by_intrinsic.append((jacobian[..., None, 3:] * axes).sum(-1).mT)
        image = torch.stack(images).sum(0)[:, None]
        _, relative, intrinsic = self._block_sizes()
        return torch.cat(
            [
                image,
                *by_motion,
                _placed(by_offset, view - 1, relative, image),
                _placed(by_intrinsic, view, intrinsic, image),
            ],
            dim=1,
        )

    def _rays(self, unknowns: Unknowns, view: int, number: int) -> tuple[Sources, Targets]:
        """A view's rays in the world of a body, in the body's dtype."""
        sight = self.sights[view]
        pose = RigidTransform(self.poses(unknowns, view)[:, number])
        calibration = None
        if self.calibration.columns:
            calibration = _adjusted(
                sight.camera.detector.calibration.matrix.to(pose.matrix), unknowns.intrinsics[:, view]
            )
        source, target = sight.camera.detector(pose, calibration)
        density = sight.bodies[number].density
        return source.to(density), target.to(density)

    def _intrinsic_axes(
        self, unknowns: Unknowns, view: int, number: int, target: Targets
    ) -> Float[Tensor, "batch ray intrinsic 3"]:
        """How targets move with the intrinsics that are calibrated: sdd along the beam, x0 and y0 across, size out."""
        detector = self.sights[view].camera.detector
        frame = detector.camera_to_world(RigidTransform(self.poses(unknowns, view)[:, number])).matrix
        calibration = _adjusted(detector.calibration.matrix.to(frame), unknowns.intrinsics[:, view])
        middle = (frame @ (calibration[..., 2:3] + calibration[..., 3:]))[:, None, :3, 0].to(target)
        across_x, across_y, beam = (frame[:, None, :3, axis].to(target).expand_as(target) for axis in range(3))
        return torch.stack([beam, across_x, across_y, target - middle], dim=2)[:, :, self.calibration.columns]

    def _block_sizes(self) -> list[int]:
        """How many of the unknowns are motions, relative poses, intrinsics."""
        views = len(self.sights)
        relative = 0 if self.calibration.relative_pose is None else 6 * (views - 1)
        return [6 * len(self.pivots), relative, views * len(self.calibration.columns)]


def _placed(derivatives: list[Tensor], place: int, size: int, image: Tensor) -> Tangents:
    """A view's derivatives, summed over the bodies, among those of all views, which it does not feel."""
    block = image.new_zeros(len(image), size, image.shape[2])
    if derivatives:
        mine = torch.stack(derivatives).sum(0)
        block[:, place * mine.shape[1] : (place + 1) * mine.shape[1]] = mine
    return block


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
    sdd, x0, y0, size = intrinsics.unbind(-1)
    adjusted[:, 0, 0] *= size.exp()
    adjusted[:, 1, 1] *= size.exp()
    adjusted[:, 2, 2] += sdd
    adjusted[:, 0, 3] += x0
    adjusted[:, 1, 3] += y0
    return adjusted
