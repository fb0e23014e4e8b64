"""Simulated X-rays of every condition, and the truth about them."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from raygrad.data import Subject
from raygrad.drr import DRR
from raygrad.evaluation._conditions.conditions import CONDITIONS
from raygrad.evaluation._conditions.paths import FineDetector, lengths_of_parts
from raygrad.evaluation._conditions.patients import patient_of
from raygrad.evaluation._conditions.processing import processed
from raygrad.evaluation._conditions.technique import take
from raygrad.evaluation._exposure import Exposure, aperture_mask, expose
from raygrad.evaluation._starts import draw_motions, make_generator, motion_about, true_pose
from raygrad.evaluation._targets import (
    displaced,
    draw_points,
    find_spine,
    middle_of,
    middle_vertebra,
    select_labels,
    tissue_value,
)
from raygrad.pose import RigidTransform, make_matrix
from raygrad.types import Points

SDD, PIXELS, PIXEL = 1020.0, 200, 2.0
"""The X-ray system: source-to-detector distance in mm, rows and columns, size of a pixel in mm of large fields."""

SAMPLES = 1000
"""Samples on a ray of the renderer that makes the images of all conditions but a."""

SPINE_DEGREES, SPINE_MM = 3.0, 4.0
"""How far the spine moves within the body, about its own middle: up to so much on every axis."""

POINTS = 400
"""Points that errors are averaged over."""

FIELD_MM = 50.0
"""Of a small field, points lie so near to its middle."""


@dataclass(frozen=True)
class Case:
    """X-rays of one condition and view, and the truth about them.

    Attributes:
        condition: its letter in `CONDITIONS`.
        view: its name in `VIEWS`.
        drr: renders the CT for this X-ray system.
        xrays: images (1, 1, height, width) of every view: for "a" in the DRR's unit, else line integrals in
            nepers, or what processing left of them.
        masks: pixels within the collimator (height, width) of every view; None where there is none, or nobody is told.
        poses: true camera_to_world of every view.
        points: of the body, (1, point, 3); of the body without the spine where that has moved.
        spine_labels: labels of what has moved, the spine or a vertebra, else empty.
        spine_poses: true poses of every view as it is seen from, else empty.
        spine_points: of it as it lies in the CT, as many as of the body; else None.
        centre: the point of the world that the field is about, and that starts turn about.
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
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def without_masks(self) -> "Case":
        """The same X-rays for a registration that is not told of the collimator."""
        return replace(self, masks=None)


def make_drr(subject: Subject) -> DRR:
    """What registrations are given: the CT and the X-ray system."""
    return DRR(subject, sdd=SDD, height=PIXELS, delx=PIXEL)


def make_case(condition: str, view: str, subject: Subject, seed: int = 0, drr: DRR | None = None) -> Case:
    """Simulate the X-rays of a condition and view; the same seed gives the same images.

    Args:
        condition: a letter of `CONDITIONS`.
        view: "ap", "lateral" or "oblique".
        subject: the CT; where something moves with a labelmap and named structures.
        seed: of the noise, the wires, the motion and the points that errors are taken over.
        drr: `make_drr` of this subject, if there is one already; with another detector, another size of the images.

    Raises:
        ValueError: an unknown condition or view, a parallel beam, or a CT without a spine where it is needed.
    """
    if condition not in CONDITIONS:
        raise ValueError(f"Expected a condition among {', '.join(CONDITIONS)}. Got {condition!r}.")
    wanted = CONDITIONS[condition]
    drr = make_drr(subject) if drr is None else drr
    drr.detector.intrinsics.check_cone("X-rays simulated with one")
    if wanted.technique is not None:
        return _real_case(condition, view, subject, seed, drr)
    poses = tuple(_turned(true_pose(view), angle) for angle in wanted.angles)
    shape = (drr.detector.height, drr.detector.width)
    masks = None
    if wanted.exposure is not None and wanted.exposure.aperture is not None:
        masks = (aperture_mask(shape, float(drr.detector.delx), wanted.exposure.aperture),) * len(poses)
    if not wanted.moves:
        points = draw_points(subject, POINTS, make_generator(seed, "points"))
        xrays = _take(wanted.exposure, [(subject, poses)], drr, make_generator(seed, condition, view))
        return Case(condition, view, drr, xrays, masks, poses, points)

    labels = find_spine(subject)
    spine = select_labels(subject, labels)
    body = (subject.density.voxels > 0) & ~spine
    body_points = draw_points(subject, POINTS, make_generator(seed, "body"), body)
    spine_points = draw_points(subject, POINTS, make_generator(seed, "spine"), spine)
    spine_poses = _moved(poses, spine_points, make_generator(seed, "motion", view))
    parts = list(zip(displaced(subject, spine), (poses, spine_poses), strict=True))
    xrays = _take(wanted.exposure, parts, drr, make_generator(seed, condition, view))
    return Case(condition, view, drr, xrays, masks, poses, body_points, tuple(labels), spine_poses, spine_points)


def _real_case(condition: str, view: str, subject: Subject, seed: int, drr: DRR) -> Case:
    """The CT's materials as a tube and a detector show them, and what the registration does not know of."""
    wanted = CONDITIONS[condition]
    technique = wanted.technique
    assert technique is not None
    patient = patient_of(wanted.patient, subject)
    if patient.ct is not subject or wanted.field_mm is not None:
        height, pixel = drr.detector.height, float(drr.detector.delx)
        pixel = pixel if wanted.field_mm is None else wanted.field_mm / height
        drr = DRR(patient.ct, SDD, height, pixel).to(drr.density.device)
    times = technique.oversampling
    fine = FineDetector(SDD, drr.detector.height * times, float(drr.detector.delx) / times, SAMPLES)
    centre, within = (0.0, 0.0, 0.0), None
    labels: list[int] = []
    if wanted.field_mm is not None:
        label = middle_vertebra(subject)
        labels = [label] if wanted.moves else []
        centre = middle_of(subject, label)
        within = _ball(subject, centre)
    pose = true_pose(view).compose(_shift(centre))
    moved: dict = {}
    if not labels:
        seen = patient.lengths(pose, fine, wanted.carries)
    else:
        part = select_labels(subject, labels)
        assert within is not None
        within = within & ~part
        points = draw_points(subject, POINTS, make_generator(seed, "spine"), part)
        (seen_from,) = _moved((pose,), points, make_generator(seed, "motion", view))
        hu = patient.seen.volume.voxels.float()
        filled = torch.where(part, tissue_value(hu, part), hu)
        seen = lengths_of_parts(patient.seen, filled, (pose, seen_from), fine)
        moved = {"spine_labels": tuple(labels), "spine_poses": (seen_from,), "spine_points": points}
    image = take(seen, technique, make_generator(seed, condition, view))
    image = processed(image, float(drr.detector.delx), wanted.processing, view)
    points = draw_points(patient.ct, POINTS, make_generator(seed, "points"), within)
    xrays = (image.float()[None, None],)
    return Case(condition, view, drr, xrays, None, (pose,), points, centre=centre, **moved)


def forget_patients() -> None:
    """Free the memory that simulated patients take: of a CT of full size almost a gigabyte."""
    patient_of.cache_clear()


def _moved(poses: tuple[RigidTransform, ...], points: Points, generator: torch.Generator) -> tuple[RigidTransform, ...]:
    """The poses that what has moved, about its own middle, is seen from as it lies in the CT.

    A camera sees what moved as a camera moved the other way sees it where the CT has it.
    """
    motion = motion_about(points.mean(dim=1)[0], draw_motions(1, SPINE_DEGREES, SPINE_MM, generator)[0])
    return tuple(pose.compose(motion.inverse()) for pose in poses)


def _ball(subject: Subject, centre: tuple[float, ...]) -> Tensor:
    """Voxels of the body near a point."""
    body = subject.density.voxels > 0
    matrix = subject.volume.voxel_to_world.double()
    squares = [
        (torch.arange(size) * matrix[axis, axis] + matrix[axis, 3] - centre[axis]).square().float()
        for axis, size in enumerate(body.shape)
    ]
    x, y, z = squares
    return body & (x[:, None, None] + y[None, :, None] + z[None, None] < FIELD_MM**2)


def _shift(by: tuple[float, ...]) -> RigidTransform:
    return RigidTransform(make_matrix(torch.eye(3, dtype=torch.float64)[None], torch.tensor([by], dtype=torch.float64)))


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
