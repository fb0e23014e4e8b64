"""RTK's geometry of a sweep: the XML of its `ThreeDCircularProjectionGeometry`, read and written.

Parameters and axes are those of its documentation, "RTK 3D circular projection geometry": the fixed frame is that of
the volume's file in ITK, LPS+ mm. Ours is the same file's RAS+, so x and y change sign and the origin stays. In the
tube's frame, which is turned by Rz(-InPlaneAngle) Rx(-OutOfPlaneAngle) Ry(-GantryAngle), the source is at
(SourceOffsetX, SourceOffsetY, SourceToIsocenterDistance), and the detector's point (u, v) at
(u + ProjectionOffsetX, v + ProjectionOffsetY, SourceToIsocenterDistance - SourceToDetectorDistance).
The images' file says where on it the first pixel's centre is, which way columns and rows go, and how far apart they
are; where it says nothing, columns follow u and rows v.

Distances may be negative. Where columns, rows and the way *to* the detector are a right-handed frame, as in images that
show the patient as radiologists look at them, both are: then the tube's z axis leads from the source to the detector.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._errors import InputError
from raygrad._files import written_whole
from raygrad.data import LPS_TO_RAS
from raygrad.formats._geometry import GEOMETRIES, Frames, GeometryFormat
from raygrad.formats._pinholes import pixel_size_of
from raygrad.geometry import ConeViews, cone_vectors_of, views_of_cone_vectors
from raygrad.pose import convert, matrix_to_euler_angles

# What a view has, in degrees and mm, and what it is if the file does not say.
_PARAMETERS = {
    "GantryAngle": None,
    "SourceToIsocenterDistance": None,
    "SourceToDetectorDistance": None,
    "SourceOffsetX": 0.0,
    "SourceOffsetY": 0.0,
    "ProjectionOffsetX": 0.0,
    "ProjectionOffsetY": 0.0,
    "OutOfPlaneAngle": 0.0,
    "InPlaneAngle": 0.0,
}
# Radius of a curved detector, which must be 0, and the collimator's jaws.
_CURVATURE = "RadiusCylindricalDetector"
_IGNORED = ("CollimationUInf", "CollimationUSup", "CollimationVInf", "CollimationVSup")
_FLIP = torch.from_numpy(LPS_TO_RAS[:3, :3])
_ROOT = "RTKThreeDCircularGeometry"


def _sniff(path: Path) -> bool:
    try:
        _, root = next(ElementTree.iterparse(path, events=("start",)))
    except (ElementTree.ParseError, StopIteration):
        return False
    return root.tag == _ROOT


def _read(path: Path, frames: Frames | None) -> ConeViews:
    """The views of RTK's file, whose calibrations differ where distances or offsets do.

    Raises:
        InputError: it is not such a file, its detector is curved or its beam parallel, the size of pixels is not in the
            frames, or a view (whose number is said) has a number missing or wrong, or a matrix that does not follow
            from its numbers.
    """
    if frames is None or frames.spacing is None:
        raise InputError(
            f"Expected the size of a pixel, which RTK's XML leaves to the images' file. Got none for '{path}'."
        )
    (rows, columns), spacing, origin = frames.image_shape, frames.spacing, frames.origin
    views = _read_parameters(path)
    values = torch.tensor([[view[name] for name in _PARAMETERS] for view in views], dtype=torch.float64)
    gantry, sid, sdd, source_x, source_y, offset_x, offset_y, out_of_plane, in_plane = values.T

    angles = -torch.stack([in_plane, out_of_plane, gantry], dim=-1)
    no_shift = torch.zeros(1, 3, dtype=torch.float64)
    fixed_to_tube = convert(angles, no_shift, parameterization="euler_angles", convention="ZXY", degrees=True).rotation
    _check_matrices(path, views, fixed_to_tube, values)
    directions = torch.tensor(frames.directions or ((1.0, 0.0), (0.0, 1.0)), dtype=torch.float64)
    steps = directions * torch.tensor(spacing, dtype=torch.float64)[:, None]
    _check_directions(path, directions)
    middle_u, middle_v = 0.0, 0.0
    if origin is not None:
        way = torch.tensor([(columns - 1) / 2, (rows - 1) / 2], dtype=torch.float64) @ steps
        middle_u, middle_v = (torch.tensor(origin, dtype=torch.float64) + way).tolist()
    zero, one = torch.zeros_like(sid), torch.ones_like(sid)
    parts = [
        (source_x, source_y, sid),
        (middle_u + offset_x, middle_v + offset_y, sid - sdd),
        *((u * one, v * one, zero) for u, v in steps.tolist()),
    ]
    in_tube = torch.stack([torch.stack(vector, dim=-1) for vector in parts], dim=1)
    vectors = in_tube @ fixed_to_tube @ _FLIP  # as rows, from the tube's frame to the fixed one
    try:
        return views_of_cone_vectors(vectors.flatten(1), rows, columns)
    except ValueError as error:
        raise InputError(f"'{path}': {error}") from error


def _check_directions(path: Path, directions: Float[Tensor, "2 2"]) -> None:
    """Raise InputError unless columns and rows of the images lie in the detector, across one another."""
    if (directions @ directions.mT - torch.eye(2).to(directions)).abs().max() > 1e-3:
        across, down = (", ".join(f"{number:.4g}" for number in way) for way in directions.tolist())
        raise InputError(
            f"Expected images whose columns and rows lie along the detector's two axes, as RTK has it for '{path}'. "
            f"Got images that go along ({across}) and ({down})."
        )


def _write(path: Path, views: ConeViews, names: Sequence[str | None] | None) -> None:
    """Write views; the images' file has to say the size of a pixel, and has the middle of the image at (0, 0).

    Raises:
        InputError: pixels that are no rectangles, or of another size than in the first view (its number is said).
    """
    vectors = cone_vectors_of(views).reshape(-1, 4, 3) @ _FLIP
    source, middle, across, down = vectors.unbind(1)
    width, height = pixel_size_of(views)
    u, v = across / width, down / height
    fixed_to_tube = torch.stack([u, v, torch.linalg.cross(u, v)], dim=1)
    in_tube = torch.stack([source, middle], dim=1) @ fixed_to_tube.mT
    (source_x, source_y, sid), (offset_x, offset_y, depth) = (point.unbind(-1) for point in in_tube.unbind(1))
    angles = -torch.rad2deg(matrix_to_euler_angles(fixed_to_tube, "ZXY"))
    in_plane, out_of_plane, gantry = angles.unbind(-1)
    values = torch.stack(
        [gantry, sid, sid - depth, source_x, source_y, offset_x, offset_y, out_of_plane, in_plane], dim=-1
    )
    matrices = _matrices(fixed_to_tube, values)
    lines = ['<?xml version="1.0"?>', "<!DOCTYPE RTKGEOMETRY>", f'<{_ROOT} version="3">']
    for numbers, matrix in zip(values.tolist(), matrices.tolist(), strict=True):
        fields = [f"    <{name}>{number:.15g}</{name}>" for name, number in zip(_PARAMETERS, numbers, strict=True)]
        rows = ["      " + " ".join(f"{entry:.15g}" for entry in row) for row in matrix]
        lines += ["  <Projection>", *fields, "    <Matrix>", *rows, "    </Matrix>", "  </Projection>"]
    with written_whole(path) as unfinished:
        unfinished.write_text("\n".join([*lines, f"</{_ROOT}>", ""]), encoding="ascii")


RTK = GEOMETRIES.add(GeometryFormat("RTK's XML", (".xml",), _sniff, _read, _write))


def _read_parameters(path: Path) -> list[dict[str, Any]]:
    """The parameters of every view, and its "Matrix" (12 numbers) if the file has one."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise InputError(f"Expected RTK's XML. Got '{path}', which is not XML: {error}.") from error
    if root.tag != _ROOT:
        raise InputError(f"Expected RTK's geometry, which begins with <{_ROOT}>. Got '{path}', with <{root.tag}>.")
    shared = {name: default for name, default in _PARAMETERS.items() if default is not None}
    shared |= _numbers_in(root, f"'{path}'")
    projections = root.findall("Projection")
    if not projections:
        raise InputError(f"'{path}' has no projections.")
    views = []
    for number, projection in enumerate(projections, start=1):
        where = f"View {number} of '{path}'"
        view = shared | _numbers_in(projection, where)
        missing = [name for name in _PARAMETERS if name not in view]
        if missing:
            raise InputError(f"{where} has no {', '.join(missing)}.")
        if view.get(_CURVATURE, 0.0) != 0:
            raise InputError(
                f"{where} has a curved detector ({_CURVATURE} {view[_CURVATURE]:g} mm); raygrad's are flat."
            )
        if view["SourceToDetectorDistance"] == 0:
            raise InputError(f"{where} is by parallel beams (SourceToDetectorDistance 0), which are not read.")
        sid, sdd = view["SourceToIsocenterDistance"], view["SourceToDetectorDistance"]
        if not 0 < sid < sdd and not sdd < sid < 0:
            distances = f"{sid:g} and {sdd:g} mm"
            raise InputError(f"{where} has distances of the isocentre and the detector of {distances} from the source.")
        views.append(view)
    return views


def _numbers_in(element: ElementTree.Element, where: str) -> dict[str, Any]:
    """The numbers right under an element; other elements than RTK's are refused, since they may move the rays."""
    numbers: dict[str, Any] = {}
    for child in element:
        if child.tag in ("Projection", *_IGNORED):
            continue
        if child.tag not in (*_PARAMETERS, _CURVATURE, "Matrix"):
            raise InputError(f"{where} has <{child.tag}>, which raygrad does not know.")
        try:
            found = [float(word) for word in (child.text or "").split()]
        except ValueError:
            found = []
        if len(found) != (12 if child.tag == "Matrix" else 1) or not all(map(math.isfinite, found)):
            raise InputError(f"{where} has a <{child.tag}> that is not as it should be: {child.text!r}.")
        numbers[child.tag] = found if child.tag == "Matrix" else found[0]
    return numbers


def _matrices(fixed_to_tube: Float[Tensor, "view 3 3"], values: Float[Tensor, "view 9"]) -> Float[Tensor, "view 3 4"]:
    """Each view's "Matrix", from fixed mm to (u, v, 1) up to a factor: "Final Matrix" of RTK's documentation."""
    _, sid, sdd, source_x, source_y, offset_x, offset_y, _, _ = values.T
    zero, one = torch.zeros_like(sid), torch.ones_like(sid)
    rows = [[-sdd, zero, source_x - offset_x], [zero, -sdd, source_y - offset_y], [zero, zero, one]]
    tube_to_detector = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    source = torch.stack([source_x, source_y, sid], dim=-1)[:, :, None]
    return tube_to_detector @ torch.cat([fixed_to_tube, -source], dim=-1)


def _check_matrices(
    path: Path, views: list[dict[str, Any]], fixed_to_tube: Float[Tensor, "view 3 3"], values: Float[Tensor, "view 9"]
) -> None:
    """Compare each view's "Matrix" with what its parameters make."""
    for number, (view, matrix) in enumerate(zip(views, _matrices(fixed_to_tube, values), strict=True), start=1):
        if "Matrix" not in view:
            continue
        found = torch.tensor(view["Matrix"], dtype=torch.float64).reshape(3, 4)
        factor = (found * matrix).sum() / matrix.square().sum()
        if (found - factor * matrix).norm() > 1e-5 * found.norm():
            raise InputError(
                f"View {number} of '{path}' has a matrix that does not follow from its angles and distances."
            )
