"""The conditions that registration is tried under: simulated X-rays, and when a registration of one is a success."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from raygrad.data import Subject
from raygrad.drr import DRR
from raygrad.evaluation._exposure import Exposure, aperture_mask, expose
from raygrad.evaluation._starts import draw_motions, make_generator, motion_about, true_pose
from raygrad.evaluation._targets import displaced, draw_points, find_spine, select_labels
from raygrad.pose import RigidTransform
from raygrad.types import Points

SDD, PIXELS, PIXEL = 1020.0, 200, 2.0
"""The X-ray system of every condition: source-to-detector distance in mm, rows and columns, size of a pixel in mm."""

SAMPLES = 1000
"""Samples on a ray of the renderer that makes the images of the conditions b to e."""

SPINE_DEGREES, SPINE_MM = 3.0, 4.0
"""How far the spine moves within the body, about its own middle: up to so much on every axis."""

POINTS = 400
"""Points that errors are averaged over."""

REAL = Exposure()
SPOILT = Exposure(scatter=0.1, gamma=0.8, aperture=360.0, wires=3)


@dataclass(frozen=True)
class Condition:
    """What the X-rays are like, and what a success is.

    Attributes:
        what: the condition in a few words.
        exposure: how the images are taken; None for the renderer's own image, at the final resolution.
        mtre: a success ends below this error in mm.
        in_plane: and below this one, where there is a limit.
        angles: of the views about the patient's long axis, from the true pose, in degrees.
        spine_moves: the spine has moved within the body; errors of both have to be below `mtre`.
    """

    what: str
    exposure: Exposure | None
    mtre: float
    in_plane: float | None = None
    angles: tuple[float, ...] = (0.0,)
    spine_moves: bool = False


CONDITIONS = {
    "a": Condition("clean: the same renderer", None, mtre=0.1),
    "b": Condition("another renderer, finer detector, noise", REAL, mtre=0.3),
    "c": Condition("as b; scatter, gamma, collimator, wires", SPOILT, mtre=0.8, in_plane=0.3),
    "d": Condition("as c; two views at 90 degrees", SPOILT, mtre=0.3, angles=(0.0, 90.0)),
    # The spine's excess over the tissue about it is faint, and one view says little of its depth.
    "e": Condition("as b; the spine has moved", REAL, mtre=5.0, in_plane=0.6, spine_moves=True),
}
"""From the easiest to the hardest, by the letters that the command takes."""


def conditions_of(subject: Subject) -> list[str]:
    """The letters of all conditions that a CT allows: the spine moves only where a labelmap names it."""
    named = subject.mask is not None and subject.structures is not None
    return [letter for letter, condition in CONDITIONS.items() if named or not condition.spine_moves]


@dataclass(frozen=True)
class Case:
    """X-rays of one condition and view, and the truth about them.

    Attributes:
        condition: its letter in `CONDITIONS`.
        view: its name in `VIEWS`.
        drr: renders the CT for this X-ray system.
        xrays: line integrals (1, 1, height, width) of every view: for "a" in the DRR's unit, else in nepers.
        masks: pixels within the collimator (height, width) of every view; None where there is no collimator.
        poses: true camera_to_world of every view.
        points: of the body, (1, point, 3); of the body without the spine where that has moved.
        spine_labels: labels of what has moved, else empty.
        spine_poses: true poses of every view as the spine is seen from, else empty.
        spine_points: of the spine as it lies in the CT, as many as of the body; else None.
    """

    condition: str
    view: str
    drr: DRR
    xrays: tuple[Tensor, ...]
    masks: tuple[Tensor, ...] | None
    poses: tuple[RigidTransform, ...]
    points: Points
    spine_labels: tuple[int, ...] = ()
    spine_poses: tuple[RigidTransform, ...] = ()
    spine_points: Points | None = None

    def without_masks(self) -> "Case":
        """The same X-rays for a registration that is not told of the collimator."""
        return replace(self, masks=None)


def make_drr(subject: Subject) -> DRR:
    """What registrations are given: the CT and the X-ray system."""
    return DRR(subject, sdd=SDD, height=PIXELS, delx=PIXEL)


def make_case(condition: str, view: str, subject: Subject, seed: int = 0, drr: DRR | None = None) -> Case:
    """Simulate the X-rays of a condition and view; the same seed gives the same images.

    Args:
        condition: "a" to "e".
        view: "ap", "lateral" or "oblique".
        subject: the CT; for "e" with a labelmap and named structures.
        seed: of the noise, the wires, the spine's motion and the points that errors are taken over.
        drr: `make_drr` of this subject, if there is one already; with another detector, another size of the images.

    Raises:
        ValueError: an unknown condition or view, or a CT without a spine for "e".
    """
    if condition not in CONDITIONS:
        raise ValueError(f"Expected a condition among {', '.join(CONDITIONS)}. Got {condition!r}.")
    wanted = CONDITIONS[condition]
    drr = make_drr(subject) if drr is None else drr
    poses = tuple(_turned(true_pose(view), angle) for angle in wanted.angles)
    shape = (drr.detector.height, drr.detector.width)
    masks = None
    if wanted.exposure is not None and wanted.exposure.aperture is not None:
        masks = (aperture_mask(shape, float(drr.detector.delx), wanted.exposure.aperture),) * len(poses)
    if not wanted.spine_moves:
        points = draw_points(subject, POINTS, make_generator(seed, "points"))
        xrays = _take(wanted.exposure, [(subject, poses)], drr, make_generator(seed, condition, view))
        return Case(condition, view, drr, xrays, masks, poses, points)

    labels = find_spine(subject)
    spine = select_labels(subject, labels)
    body = (subject.density.voxels > 0) & ~spine
    body_points = draw_points(subject, POINTS, make_generator(seed, "body"), body)
    spine_points = draw_points(subject, POINTS, make_generator(seed, "spine"), spine)
    motion = motion_about(
        spine_points.mean(dim=1)[0], draw_motions(1, SPINE_DEGREES, SPINE_MM, make_generator(seed, "motion", view))[0]
    )
    # A camera sees the moved spine as a camera moved the other way sees the spine where the CT has it.
    spine_poses = tuple(pose.compose(motion.inverse()) for pose in poses)
    parts = list(zip(displaced(subject, spine), (poses, spine_poses), strict=True))
    xrays = _take(wanted.exposure, parts, drr, make_generator(seed, condition, view))
    return Case(condition, view, drr, xrays, masks, poses, body_points, tuple(labels), spine_poses, spine_points)


Parts = list[tuple[Subject, tuple[RigidTransform, ...]]]


def _take(exposure: Exposure | None, parts: Parts, drr: DRR, generator: torch.Generator) -> tuple[Tensor, ...]:
    """The images of every view: the parts' line integrals add up."""
    views = range(len(parts[0][1]))
    if exposure is None:
        return tuple(_render(parts, view, drr.detector.height, float(drr.detector.delx), "siddon") for view in views)
    fine = exposure.oversampling
    size, pixel = drr.detector.height * fine, float(drr.detector.delx) / fine
    images = (_render(parts, view, size, pixel, "trilinear", n_points=SAMPLES)[0, 0] for view in views)
    return tuple(expose(image, pixel, exposure, generator)[None, None] for image in images)


def _render(parts: Parts, view: int, size: int, pixel: float, renderer: str, **options: int) -> Tensor:
    image = torch.zeros(1, 1, size, size)
    for subject, poses in parts:
        drr = DRR(subject, SDD, size, pixel, renderer=renderer)
        with torch.no_grad():
            image = image + drr(poses[view], **options)
    return image


def _turned(pose: RigidTransform, degrees: float) -> RigidTransform:
    """The pose after the X-ray system has turned about the patient's long axis, through the isocentre."""
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    turn = torch.eye(4, dtype=torch.float64)
    turn[:2, :2] = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).reshape(2, 2)
    return pose.compose(RigidTransform(turn))
