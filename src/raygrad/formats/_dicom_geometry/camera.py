"""From directions in the patient and a detector to a pose and intrinsics.

Directions are unit vectors of the patient's RAS+, float64: `right` and `down` are where columns and rows of the stored
image increase, `beam` leads from the source to the detector.
"""

import itertools
import math

import numpy as np
import torch

from raygrad.formats._dicom_geometry.geometry import Triple, XRayGeometry
from raygrad.formats._dicom_geometry.header import Header
from raygrad.formats._dicom_geometry.pair import acquisition_of
from raygrad.geometry import Intrinsics, UnknownGeometry
from raygrad.pose import RigidTransform, make_reorient

Directions = tuple[np.ndarray, np.ndarray, np.ndarray]

LETTERS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}
"""PatientOrientation's (PS3.3, C.7.6.1.1.1) as directions of RAS+."""

_ALONG_BEAM = 0.8
"""Letters are the nearest axes, so that those of an image's own directions are never this near to the beam."""


def turned_to_patient_orientation(header: Header, right: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The stored image's directions, where PatientOrientation says that it was turned or mirrored (PS3.3, C.7.6.1.1.1).

    Images are turned by quarters and mirrored for display; which of these eight it is, its letters decide.
    """
    said = oriented(header)
    if said is None:
        header.unknown("patient orientation of the image", "head up, not mirrored, is assumed")
        return right, down
    beam = np.cross(right, down)
    if max(abs(float(direction @ beam)) for direction in said) > _ALONG_BEAM:
        header.warn("PatientOrientation says that the image lies along the beam: it is not used.")
        header.leave("patient orientation of the image", "", ["PatientOrientation"], "along the beam")
        return right, down
    # Letters are rounded to the patient's axes: of the eight the one that comes nearest, and the usual one if two do.
    eight = [(right, down), (-down, right), (-right, -down), (down, -right)]
    eight += [(-one, other) for one, other in eight]
    best = max(eight, key=lambda pair: round(float(pair[0] @ said[0] + pair[1] @ said[1]), 6))
    header.found("patient orientation of the image", header.text("PatientOrientation"), "", "PatientOrientation")
    return best


def oriented(header: Header) -> tuple[np.ndarray, np.ndarray] | None:
    """Directions of columns and rows by PatientOrientation's letters, if they say any."""
    words = header.elements.get("PatientOrientation")
    words = [str(word).strip().upper() for word in words] if words and not isinstance(words, str) else []
    if len(words) != 2 or not all(word and set(word) <= set(LETTERS) for word in words):
        return None
    found = []
    for word in words:  # the first letter is the axis that is nearest
        direction = sum(np.array(LETTERS[letter], float) / 2**place for place, letter in enumerate(word))
        found.append(direction / np.linalg.norm(direction))
    return found[0], found[1]


def tilted(directions: Directions, row_deg: float, column_deg: float) -> Directions:
    """Those of a detector that its centre's ray does not meet squarely: `beam` becomes the detector's normal.

    PS3.3, C.8.7.5.1.4: the ray leans by `row_deg` to higher columns, by `column_deg` to lower rows.
    """
    frame = np.stack(directions, axis=1)
    leaning = np.array([math.tan(math.radians(row_deg)), -math.tan(math.radians(column_deg)), 1.0])
    leaning /= np.linalg.norm(leaning)
    axis = np.cross([0.0, 0.0, 1.0], leaning)
    cosine = leaning[2]
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    least = np.eye(3) + cross + cross @ cross / (1 + cosine)  # takes +z to the leaning ray
    right, down, normal = (frame @ least.T).T
    return right, down, normal


def stored_point(
    point: tuple[float, float], size: tuple[float, float], rotation_deg: float, flipped: bool
) -> tuple[float, float]:
    """A point of the field of view, as (row, column) from its upper left corner, after it was turned and mirrored.

    PS3.3, C.8.11.4.1.1: first clockwise by FieldOfViewRotation, then FieldOfViewHorizontalFlip.

    Args:
        point, size: in any one unit, before.
        rotation_deg: 0, 90, 180 or 270.
        flipped: whether columns were turned round.
    """
    (row, column), (height, width) = point, size
    for _ in range(round(rotation_deg / 90) % 4):
        row, column, height, width = column, height - row, width, height
    return (row, width - column) if flipped else (row, column)


def assemble(
    header: Header,
    directions: Directions,
    source: np.ndarray,
    sdd: float,
    pixel: tuple[float, float],
    principal: tuple[float, float],
    pose_deg: Triple,
    pose_mm: Triple,
    unknowns: UnknownGeometry,
    *,
    has_view: bool,
    has_sdd: bool,
    has_pixel_size: bool,
    kind: str,
    plane: str | None = None,
) -> XRayGeometry:
    """Pose and intrinsics of a source (world mm) and a detector.

    Args:
        directions: right, down and beam (the detector's normal).
        pixel: mm between columns, and between rows.
        principal: columns and rows from the image's corner to the foot of the source on the detector.
    """
    right, down, beam = directions
    camera_to_world = np.eye(4)
    camera_to_world[:3, 1], camera_to_world[:3, 2], camera_to_world[:3, 3] = -down, beam, source
    camera_to_world[:3, 0] = np.cross(-down, beam)
    reverse = bool(right @ camera_to_world[:3, 0] < 0)
    pose = torch.from_numpy(camera_to_world) @ torch.linalg.inv(make_reorient("AP").double())
    across, along = (place - size / 2 for place, size in zip(principal, (header.columns, header.rows), strict=True))
    intrinsics = Intrinsics(
        sdd=sdd,
        height=header.rows,
        width=header.columns,
        delx=pixel[0],
        dely=pixel[1],
        x0=across * pixel[0] * (1 if reverse else -1) + 0.0,  # not -0
        y0=along * pixel[1] + 0.0,
        reverse_x_axis=reverse,
    )
    acquisition = acquisition_of(header, plane)
    return XRayGeometry(
        RigidTransform(pose),
        "AP",
        intrinsics,
        pose_deg,
        pose_mm,
        unknowns,
        has_view,
        has_sdd,
        has_pixel_size,
        kind,
        plane,
        tuple(header.account),
        tuple(header.warnings),
        acquisition,
    )


def along_world(across_mm: float, depth_mm: float, beam: np.ndarray) -> Triple:
    """Standard deviations along the world's axes of a point that is known so well across the beam and along it."""
    x, y, z = (math.hypot(across_mm, float(share) * depth_mm) for share in beam)
    return x, y, z


def unit(vector: np.ndarray) -> np.ndarray:
    """The vector with length 1."""
    return vector / np.linalg.norm(vector)


def nearest_letters(direction: np.ndarray) -> str:
    """PatientOrientation's letters of a direction, the nearest axis first; none of those farther than 75 degrees."""
    ranked = sorted(itertools.chain(LETTERS.items()), key=lambda item: -float(direction @ np.array(item[1], float)))
    return "".join(letter for letter, axis in ranked if direction @ np.array(axis, float) > math.cos(math.radians(75)))
