"""What a registration moves, what it sees of that, and how what it sees changes: one least-squares problem."""

from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from raygrad.geometry import (
    ConeViews,
    Detector,
    UnknownGeometry,
    Views,
    about,
    adjusted,
    directions,
    turned,
    views_from,
)
from raygrad.march import Bodies, Derivatives, Marching
from raygrad.pose import RigidTransform, se3_log_map
from raygrad.registration._problem.belonging import Belonging
from raygrad.registration._problem.comparison import ByFeatures, Comparison, compare_by
from raygrad.registration._problem.depth import Beams, Poses, at_depth, depth_of, without_depth
from raygrad.registration._problem.linkage import Linkage, carry
from raygrad.registration._problem.response import Response, entries_of, fit_curve, fit_exponent
from raygrad.registration._problem.similarity import Features, Metric, Similarity, XRayFeatures
from raygrad.registration._solver.batches import Batch
from raygrad.registration._solver.levenberg_marquardt import Linearisation
from raygrad.types import Images, Matrices, Scores

RAYS_AT_ONCE = 1 << 20
"""Entries are taken in groups of so many rays, which bounds the memory: each needs about 300 bytes."""
ONE_BEAM = 1e-3
"""Radians up to which two parallel beams are one, and together see no more of the depth."""

Steps = Float[Tensor, "batch unknown"]
Tangents = Float[Tensor, "batch unknown ray"]


@dataclass(frozen=True)
class States(Batch):
    """States of the search.

    View v sees body b from the pose motions[b] @ offsets[v] @ rig[v], `rig` being where the views began.

    Attributes:
        entry: the number of each state among those of the problem, which has constants for each.
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

    def renumbered(self) -> "States":
        """The same as the entries 0, 1, 2, ... of another problem."""
        return replace(self, entry=torch.arange(len(self), device=self.entry.device))


@dataclass(frozen=True)
class ScaledXRay:
    """The X-ray of one view at one level of the pyramid, and what images to compare with it are made of.

    Attributes:
        detector: its rows, columns and intrinsics.
        marching: how the rays are marched.
        bodies: what they cross.
        rig: the pose that the view began from, of each entry (entry, 4, 4), in float64.
        image: the X-ray (1, 1, height, width) to be matched.
        weights: how much each of its pixels counts, (entry or 1, 1, height, width).
        response: what it makes of line integrals; None for themselves.
        saturated: what it shows where it is.
        unmasked: the weights of all that its mask shows, where the CT covers a part of that alone; None where all.
        counted: the share of that which it covers, of each entry.
    """

    detector: Detector
    marching: Marching
    bodies: Bodies
    rig: Float[Tensor, "entry 4 4"]
    image: Float[Tensor, "1 1 height width"]
    weights: Float[Tensor, "#entry 1 height width"]
    response: Response | None = None
    saturated: float = -torch.inf
    unmasked: Float[Tensor, "1 1 height width"] | None = None
    counted: Float[Tensor, " covered"] | None = None

    def shown(self, stack: Float[Tensor, "batch stack height width"], entry: Tensor) -> Tensor:
        """Line integrals of entries, and their derivatives, as the X-ray shows them."""
        return stack if self.response is None else self.response(stack, entry)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        return self.detector.height, self.detector.width


@dataclass(frozen=True)
class PoseProblem:
    """All views at one level of the pyramid, and what of them is unknown.

    The unknowns are, in this order: those of each body, by default a twist [v | w] (mm, radians) that moves it from the
    left, about its pivot; a twist for each view but the first, where relative poses are unknown; then the intrinsics
    that are, view by view.

    Attributes:
        xrays: of the views.
        similarity: what images are compared by.
        pivots: the point that each body turns about, (body, 3), in mm of its own frame, float64.
        radius: mm that one radian moves a typical point by, of all bodies or of each: makes lengths of steps.
        geometry: which of it is unknown beside the motions, and how well it is known.
        noise: the variance of a residual (entry,), by which what is known weighs against the images.
        linkage: how bodies move with their unknowns; None for each by itself in any way.
        centre: the point that relative poses turn about, in mm of the world; None for the first pivot.
        belonging: what is known of the bodies' motions against the first; None for nothing.
    """

    xrays: tuple[ScaledXRay, ...]
    similarity: Similarity | Metric
    pivots: Float[Tensor, "body 3"]
    radius: float | Float[Tensor, " body"]
    geometry: UnknownGeometry
    noise: Float[Tensor, " entry"]
    linkage: Linkage | None = None
    centre: Float[Tensor, " 3"] | None = None
    belonging: Belonging | None = None

    # --- the least-squares problem ---

    def linearise(self, states: States) -> Linearisation:
        """The cost, half its gradient, and J' J."""
        parts = [self._linearise(group) for group in self._groups(states)]
        return parts[0] if len(parts) == 1 else Linearisation.concatenate(parts)

    def moved(self, states: States, step: Steps) -> States:
        """The states after a step."""
        batch, views = len(states), len(self.xrays)
        turn, relative, intrinsic = step.split(self._block_sizes, dim=1)
        motions = self.links.moved(states.motions, turn, self.pivots)
        offsets, intrinsics = states.offsets, states.intrinsics
        if relative.shape[1]:
            others = turned(offsets[:, 1:], relative.reshape(batch, -1, 6), self._centre.expand(views - 1, 3))
            offsets = torch.cat([offsets[:, :1], others], dim=1)
        if intrinsic.shape[1]:
            intrinsics = intrinsics.index_add(2, self._columns, intrinsic.reshape(batch, views, -1))
        return States(states.entry, motions, offsets, intrinsics)

    def step_length(self, step: Steps) -> Float[Tensor, " batch"]:
        """The longest translation or arc of a step's motions in mm."""
        shift, angle = self.links.steps(step[:, : self._block_sizes[0]]).unflatten(2, (2, 3)).norm(dim=-1).unbind(-1)
        return torch.maximum(shift, self.radius * angle).amax(-1)

    # --- what the views see ---

    def poses(self, states: States, view: int) -> Poses:
        """From where a view sees each body."""
        pose = states.offsets[:, view] @ self.xrays[view].rig[states.entry]
        return states.motions @ pose[:, None]

    def comparable(self, poses: Matrices) -> Matrices:
        """The first view's poses of a body (batch, 4, 4) as they are to be told apart: at one depth if it is unseen."""
        if not self.is_flat:
            return poses
        return at_depth(0.0, self.pivots[0], poses[:, None], self.beams(poses[:, None]))[:, 0]

    def found(self, states: States, view: int) -> Poses:
        """Poses as they are told: as deep as where the view began, if it sees no depth."""
        poses = self.poses(states, view)
        if not self.is_flat:
            return poses
        rig, centre = self.xrays[view].rig[states.entry][:, None], self.pivots[0]
        return at_depth(depth_of(centre, rig, self.beams(rig, view)), centre, poses, self.beams(poses, view))

    def images(self, states: States, view: int) -> Images:
        """The line integrals that a view sees, (batch, 1, height, width)."""
        xray = self.xrays[view]
        image = xray.bodies.march(self.cameras(states, view), xray.marching)
        return image.reshape(len(states), 1, *xray.shape)

    def stack(self, states: States, view: int) -> Float[Tensor, "batch stack height width"]:
        """What is compared of a view: what it sees as its X-ray shows it, and the derivatives by every unknown."""
        xray = self.xrays[view]
        return xray.shown(self._image_and_tangents(states, view).unflatten(2, xray.shape), states.entry)

    def features(self, states: States, view: int, derivatives: bool = True) -> tuple[Features, XRayFeatures]:
        """The features of what a view sees, with their derivatives if wanted, and those of its X-ray.

        Raises:
            TypeError: images are compared by a metric, which knows no features.
        """
        if not isinstance(self.comparison, ByFeatures):
            raise TypeError(f"Expected a similarity with features. Got {self.similarity!r}.")
        stack = self.stack(states, view) if derivatives else self._shown(states, view)
        weights, fixed = self._constants(states, view)
        return self.comparison.similarity(stack, weights), fixed

    def score(self, states: States) -> Float[Tensor, " batch"]:
        """The mean similarity over the views, at most 1, without derivatives."""
        return torch.cat([self._score(group) for group in self._groups(states)])

    def in_users_words(self, score: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Scores as users know them: those of their own metric, where there is one."""
        return self.comparison.in_users_words(score)

    def prior_scatter(self, states: States) -> Float[Tensor, "batch unknown unknown"]:
        """What the pull of the known geometry owes to chance: the truth departs from it by its deviations."""
        precision = self._precision[states.entry]
        variance = functional.pad(precision * self.noise[states.entry, None], (self._block_sizes[0], 0))
        return torch.diag_embed(variance)

    def responding(self, states: States, response: str) -> "PoseProblem":
        """The same problem with responses fitted to what the states see: one of `RESPONSES`, see there."""
        if response == "log":
            return self
        groups = self._groups(states)
        fitted = [entries_of([self._fitted(group, view, response) for group in groups]) for view in self._views]
        xrays = [replace(xray, response=own) for xray, own in zip(self.xrays, fitted, strict=True)]
        return replace(self, xrays=tuple(xrays))

    # --- what stays the same at this level ---

    @cached_property
    def links(self) -> Linkage:
        """How bodies move with their unknowns."""
        return Linkage.free(len(self.pivots)) if self.linkage is None else self.linkage

    @property
    def unknowns(self) -> int:
        """How many there are."""
        return sum(self._block_sizes)

    def radius_of(self, body: int) -> float:
        """The radius of a body."""
        return float(self.radius[body] if isinstance(self.radius, Tensor) else self.radius)

    @cached_property
    def _centre(self) -> Float[Tensor, " 3"]:
        """What relative poses turn about."""
        return self.pivots[0] if self.centre is None else self.centre

    @cached_property
    def comparison(self) -> Comparison:
        """How images are compared."""
        shown = [xray.weights if xray.unmasked is None else xray.unmasked for xray in self.xrays]
        return compare_by(self.similarity, [(xray.image, own) for xray, own in zip(self.xrays, shown, strict=True)])

    @cached_property
    def is_flat(self) -> bool:
        """Whether all views look along one parallel beam: then no image tells how deep anything lies."""
        if not all(xray.detector.parallel for xray in self.xrays):
            return False
        beams = [self.beams(xray.rig[:, None], view) for view, xray in enumerate(self.xrays)]
        return all(bool((torch.linalg.cross(beams[0], beam).norm(dim=-1) < ONE_BEAM).all()) for beam in beams[1:])

    @cached_property
    def _fixed(self) -> tuple[Tensor, ...]:
        """What is compared of every view's X-ray, for each entry where entries have weights of their own."""
        return tuple(
            torch.cat(
                [
                    self.comparison.of_xrays(xray.image.expand(len(weights), -1, -1, -1), weights)
                    for weights in xray.weights.split(self._group_size)
                ]
            )
            for xray in self.xrays
        )

    @cached_property
    def _calibrations(self) -> tuple[Float[Tensor, "1 4 4"], ...]:
        """Every view's map from pixel units to the camera as it was assumed."""
        return tuple(xray.detector.calibration.matrix.to(self.pivots) for xray in self.xrays)

    @cached_property
    def _columns(self) -> Int[Tensor, " column"]:
        """Which columns of the intrinsics are unknown."""
        return torch.tensor(self.geometry.columns, dtype=torch.long, device=self.pivots.device)

    @cached_property
    def _precision(self) -> Float[Tensor, "entry known"]:
        """How much the square of each departure from the known geometry costs, in units of the residuals."""
        views = len(self.xrays)
        deviations = torch.cat([self.geometry.of_twists(views - 1), self.geometry.of_intrinsics(views)])
        return self.noise[:, None] / deviations.to(self.noise).square()

    @cached_property
    def _block_sizes(self) -> list[int]:
        """How many of the unknowns are motions, relative poses, intrinsics."""
        views = len(self.xrays)
        relative = 6 * (views - 1) if self.geometry.has_poses else 0
        return [sum(self.links.counts), relative, views * len(self.geometry.columns)]

    # --- how ---

    @property
    def _views(self) -> range:
        """The numbers of the views."""
        return range(len(self.xrays))

    @property
    def _group_size(self) -> int:
        """How many entries are taken at once."""
        return max(1, RAYS_AT_ONCE // max(rows * columns for rows, columns in (xray.shape for xray in self.xrays)))

    def _groups(self, states: States) -> list[States]:
        size = self._group_size
        if len(states) <= size:
            return [states]
        return [states[first : first + size] for first in range(0, len(states), size)]

    def _constants(self, states: States, view: int) -> tuple[Tensor, Tensor]:
        """The weights of a view's pixels, and what is compared of its X-ray, for all states or for each."""
        weights, fixed = (
            values if len(values) == 1 else values[states.entry]
            for values in (self.xrays[view].weights, self._fixed[view])
        )
        return weights, fixed

    def _shown(self, states: States, view: int) -> Images:
        """What is compared of a view, without derivatives."""
        return self.xrays[view].shown(self.images(states, view), states.entry)

    def _fitted(self, states: States, view: int, response: str) -> Response:
        """The response of a view by which states, whose entries it has in their order, are most like the X-ray."""
        xray, entry, images = self.xrays[view], states.renumbered().entry, self.images(states, view)
        weights, fixed = self._constants(states, view)
        if response == "curve":
            return fit_curve(images, xray.image, weights)

        def score(tried: Response) -> Scores:
            return self.comparison.score(tried(images, entry), weights, fixed)

        return fit_exponent(images, xray.image, weights, score, xray.saturated)

    def _score(self, states: States) -> Float[Tensor, " batch"]:
        scores = [
            self.comparison.score(self._shown(states, view), *self._constants(states, view)) for view in self._views
        ]
        return torch.stack(scores).mean(0).to(states.motions)

    def _linearise(self, states: States) -> Linearisation:
        parts = [self._seen(states, view) for view in self._views]
        if sum(self._block_sizes[1:]):
            parts.append(self._known(states))
        if self.belonging is not None:
            parts.append(self.belonging.linearise(states.entry, states.motions, self.unknowns))
        total = reduce(add, parts)
        return without_depth(total, self.beams(self.poses(states, 0))) if self.is_flat else total

    def _seen(self, states: States, view: int) -> Linearisation:
        """What a view's image says."""
        seen = self.comparison.linearise(self.stack(states, view), *self._constants(states, view), like=states.motions)
        return replace(seen, score=seen.score / len(self.xrays))

    def _known(self, states: States) -> Linearisation:
        """What departures from the known geometry cost, in units of the residuals."""
        bodies, relative, _ = self._block_sizes
        departures = []
        if relative:
            # Steps are taken about the centre, and there the derivative of the logarithm is 1 to first order.
            offsets = about(-self._centre, states.offsets[:, 1:].flatten(0, 1))
            departures.append(se3_log_map(offsets).reshape(len(states), -1))
        departures.append(states.intrinsics.index_select(2, self._columns).flatten(1))
        departure, precision = torch.cat(departures, dim=1), self._precision[states.entry]
        pull = departure * precision
        # Motions may be any.
        gradient, diagonal = functional.pad(torch.stack([pull, precision]), (bodies, 0))
        normal = torch.diag_embed(diagonal)
        cost = (departure * pull).sum(1)
        return Linearisation(cost, gradient, normal, torch.zeros_like(normal), torch.zeros_like(cost))

    def _image_and_tangents(self, states: States, view: int) -> Float[Tensor, "batch stack ray"]:
        """A view's line integrals, and their derivatives by every unknown."""
        xray = self.xrays[view]
        cameras = self.cameras(states, view)
        image, of_bodies = xray.bodies.march_with_jacobian(cameras, xray.marching)
        by_motion, by_offset, by_intrinsic = [], [], []
        for number, (seen, derivatives) in enumerate(zip(cameras, of_bodies, strict=True)):
            by_motion.append(derivatives.by_motion(self.pivots[number]))
            if self.geometry.has_poses and view > 0:
                carried = carry(states.motions[:, number], self._centre, self.pivots[number])
                by_offset.append(carried.to(by_motion[-1]).mT @ by_motion[-1])
            if self.geometry.columns:
                by_intrinsic.append(self._by_intrinsics(seen, derivatives))
        _, relative, intrinsic = self._block_sizes
        blocks = [image, *self.links.tangents(by_motion, states.motions, self.pivots)]
        if relative:
            blocks.append(_placed(by_offset, view - 1, relative, image))
        if intrinsic:
            blocks.append(_placed(by_intrinsic, view, intrinsic, image))
        return torch.cat(blocks, dim=1)

    def beams(self, poses: Poses, view: int = 0) -> Beams:
        """Which way a view looks from poses."""
        camera_to_pose = self.xrays[view].detector.reorient.matrix[0].to(poses)
        return functional.normalize((poses @ camera_to_pose)[..., :3, 2], dim=-1)

    def cameras(self, states: States, view: int) -> list[Views]:
        """A view's cameras in the frame of every body, one for each state."""
        detector, calibration = self.xrays[view].detector, None
        if self.geometry.columns:
            calibration = adjusted(self._calibrations[view], states.intrinsics[:, view])
        return [views_from(detector, RigidTransform(pose), calibration) for pose in self.poses(states, view).unbind(1)]

    def _by_intrinsics(self, cameras: Views, derivatives: Derivatives) -> Tangents:
        """Derivatives by the intrinsics that are unknown."""
        assert isinstance(cameras, ConeViews)  # a task with others has been refused
        _, target = derivatives.ends
        frame = cameras.detector.camera_to_world(cameras.pose).matrix
        return derivatives.by_targets(directions(frame, cameras.calibrations, target, self.geometry.columns))


def _placed(derivatives: list[Tensor], place: int, size: int, image: Tensor) -> Tangents:
    """A view's derivatives, summed over the bodies, among those of all views, which it does not feel."""
    if not derivatives:
        return image.new_zeros(len(image), size, image.shape[2])
    mine = reduce(add, derivatives)
    before = place * mine.shape[1]
    return functional.pad(mine, (0, 0, before, size - before - mine.shape[1]))
