"""RTK's geometry of a sweep: the XML of its `ThreeDCircularProjectionGeometry`.

Parameters and axes are those of its documentation, "RTK 3D circular projection geometry": the fixed frame is that of
the volume's file in ITK, LPS+ mm. Ours is the same file's RAS+, so x and y change sign and the origin stays. In the
tube's frame, which is turned by Rz(-InPlaneAngle) Rx(-OutOfPlaneAngle) Ry(-GantryAngle), the source is at
(SourceOffsetX, SourceOffsetY, SourceToIsocenterDistance), and the detector's point (u, v) at
(u + ProjectionOffsetX, v + ProjectionOffsetY, SourceToIsocenterDistance - SourceToDetectorDistance).
Columns follow u and rows v; the images' file says where the first pixel's centre is and how far apart they are.
"""

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._errors import InputError
from raygrad.formats._geometry import GEOMETRIES, Frames, GeometryFormat
from raygrad.geometry import ConeViews, Detector, Intrinsics
from raygrad.pose import RigidTransform, convert, make_matrix

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

LPS_TO_RAS = torch.diag(torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64))


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
    # The tube looks along its own -z, and rows follow its y axis: ours look along +z, and rows go down, along -y.
    tube_to_camera = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    camera_to_world = LPS_TO_RAS @ fixed_to_tube.mT @ tube_to_camera
    source = LPS_TO_RAS @ fixed_to_tube.mT @ torch.stack([source_x, source_y, sid], dim=-1)[:, :, None]
    pose = RigidTransform(make_matrix(camera_to_world, source[:, :, 0])).to(torch.float32)

    middle_u, middle_v = (0.0, 0.0)
    if origin is not None:
        middle_u, middle_v = origin[0] + (columns - 1) / 2 * spacing[0], origin[1] + (rows - 1) / 2 * spacing[1]
    x0, y0 = middle_u + offset_x - source_x, -(middle_v + offset_y - source_y)
    lengths = torch.stack([sdd, x0, y0], dim=-1)
    reorient = torch.eye(4)
    system = [
        Detector.of(Intrinsics(length, rows, columns, *spacing, x, y, reverse_x_axis=False), reorient)
        for length, x, y in lengths.tolist()
    ]
    if (lengths == lengths[0]).all():
        return ConeViews(system[0], pose)
    return ConeViews(system[0], pose, torch.cat([detector.calibration.matrix for detector in system]))


RTK = GEOMETRIES.add(GeometryFormat("RTK's XML", (".xml",), _sniff, _read))


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
        if not 0 < view["SourceToIsocenterDistance"] < view["SourceToDetectorDistance"]:
            distances = f"{view['SourceToIsocenterDistance']:g} and {view['SourceToDetectorDistance']:g} mm"
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


def _check_matrices(
    path: Path, views: list[dict[str, Any]], fixed_to_tube: Float[Tensor, "view 3 3"], values: Float[Tensor, "view 9"]
) -> None:
    """Compare each view's "Matrix", from fixed mm to (u, v, 1) up to a factor, with what its parameters make."""
    _, sid, sdd, source_x, source_y, offset_x, offset_y, _, _ = values.T
    zero, one = torch.zeros_like(sid), torch.ones_like(sid)
    rows = [[-sdd, zero, source_x - offset_x], [zero, -sdd, source_y - offset_y], [zero, zero, one]]
    tube_to_detector = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    source = torch.stack([source_x, source_y, sid], dim=-1)[:, :, None]
    expected = tube_to_detector @ torch.cat([fixed_to_tube, -source], dim=-1)
    for number, (view, matrix) in enumerate(zip(views, expected, strict=True), start=1):
        if "Matrix" not in view:
            continue
        found = torch.tensor(view["Matrix"], dtype=torch.float64).reshape(3, 4)
        factor = (found * matrix).sum() / matrix.square().sum()
        if (found - factor * matrix).norm() > 1e-5 * found.norm():
            raise InputError(
                f"View {number} of '{path}' has a matrix that does not follow from its angles and distances."
            )
