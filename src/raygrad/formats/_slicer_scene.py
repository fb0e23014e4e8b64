"""Scenes of 3D Slicer (.mrb): the CT, every X-ray where its detector was, the source, and the edges of the beam.

A bundle is a zip with one folder, in which a file of MRML names its nodes and the files of these below Data/. Tags and
attributes are those that the nodes of Slicer 5 read (their `GetNodeTagName` and `ReadXMLAttributes`).
"""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float
from torch import Tensor

from raygrad._errors import InputError
from raygrad._files import suffix_of, written_whole
from raygrad.data import Volume, write_volume
from raygrad.formats._fiducials import write_fiducials
from raygrad.formats._images import check_parent
from raygrad.formats._views import split_views
from raygrad.geometry import ConeViews

_THICKNESS = 1.0
"""Of the one slice that an X-ray is, in mm: a voxel has no volume without one."""
_SAME_SHAPE = 0.02
_GREY = "vtkMRMLColorTableNodeGrey"
"""A node of every Slicer, which no scene holds itself."""
_YELLOW = "1 0.85 0.2"


def check_scene(path: str | os.PathLike[str], views: ConeViews, xrays: Sequence[Tensor]) -> Path:
    """The path, if `write_scene` can write these there.

    Raises:
        InputError: another suffix than .mrb, another number of X-rays than of views, X-rays of another shape than the
            views' detectors, or pixels that are no rectangles facing the source.
        FileNotFoundError: there is no such folder.
    """
    path = Path(path).expanduser()
    if suffix_of(path, (".mrb",)) is None:
        raise InputError(f"Expected a file name that ends in .mrb. Got '{path}'.")
    check_parent(path)
    if len(xrays) != len(views):
        raise InputError(f"Expected an X-ray for each of {len(views)} view(s). Got {len(xrays)}.")
    rows, columns = views.image_shape
    for number, xray in enumerate(xrays, start=1):
        height, width = xray.shape
        if abs(height * columns / (width * rows) - 1) > _SAME_SHAPE:
            raise InputError(
                f"Expected an X-ray of the {columns} x {rows} pixels of view {number}, or the same in finer or "
                f"coarser ones. Got {width} x {height}."
            )
    split_views(views)
    return path


def write_scene(
    path: str | os.PathLike[str],
    ct: Volume,
    views: ConeViews,
    xrays: Sequence[Float[Tensor, "height width"]],
    names: Sequence[str | None] | None = None,
) -> None:
    """Write a CT and its X-rays as a scene that 3D Slicer opens, whole or not at all.

    An X-ray is a volume of one slice in the plane of its detector, voxel (column, row, 0) where that pixel was. The
    source is a point, and the beam a model of four lines, from the source to the detector's outer corners.

    Args:
        path: its name ends in .mrb.
        ct: in the world of its own file.
        views: where the X-rays were taken from, in that world.
        xrays: one a view, of the detector's pixels or of finer or coarser ones that cover the same area.
        names: of the X-rays' files.

    Raises:
        InputError: see `check_scene`.
        ValueError: as many names as there are not views, or a CT whose axes are not at right angles.
        OSError: the file cannot be written.
        ImportError: SimpleITK is not installed.
    """
    path = check_scene(path, views, xrays)
    of_views = split_views(views, names)
    scene = _Scene()
    with written_whole(path) as unfinished:
        folder = unfinished.parent / "Data"
        folder.mkdir()
        scene.add_volume(folder / "CT.nrrd", "CT", ct)
        for number, (view, xray) in enumerate(zip(of_views, xrays, strict=True), start=1):
            name = f"X-ray {number}" + (f" ({view.xray})" if view.xray else "")
            index = number - 1
            pixel_to_world = _pixel_to_world(views, index, (int(xray.shape[0]), int(xray.shape[1])))
            scene.add_volume(folder / f"X-ray-{number}.nrrd", name, _as_slice(xray, pixel_to_world))
            source = views.camera_to_world[index, :3, 3].detach().cpu().numpy()
            scene.add_point(folder / f"Source-{number}.mrk.json", f"Source {number}", source)
            corners = _corners(xray, pixel_to_world)
            scene.add_lines(folder / f"Beam-{number}.vtk", f"Beam {number}", source, corners)
        with zipfile.ZipFile(unfinished, "w") as bundle:
            bundle.writestr(f"{path.stem}/{path.stem}.mrml", scene.text(), zipfile.ZIP_DEFLATED)
            for file in sorted(folder.iterdir()):
                bundle.write(file, f"{path.stem}/Data/{file.name}")


def _pixel_to_world(views: ConeViews, index: int, shape: tuple[int, int]) -> np.ndarray:
    """The map (4, 4) from (column, row, slice) of an X-ray of this shape to the world, right-handed.

    The detector's pixels and the X-ray's cover the same area, which is half a pixel wider than the outermost centres.
    """
    camera_to_world = views.camera_to_world[index].detach().cpu().numpy()
    pixel_to_camera = views.pixel_to_camera[index].detach().cpu().numpy()
    (rows, columns), (height, width) = views.image_shape, shape
    across, down = columns / width, rows / height
    to_pixel = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])
    along = camera_to_world[:3, :3] @ pixel_to_camera @ to_pixel
    normal = np.cross(along[:, 0], along[:, 1])
    pixel_to_world = np.eye(4)
    pixel_to_world[:3, :2] = along[:, :2]
    pixel_to_world[:3, 2] = _THICKNESS * normal / np.linalg.norm(normal)
    pixel_to_world[:3, 3] = along[:, 2] + camera_to_world[:3, 3]
    return pixel_to_world


def _as_slice(xray: Tensor, pixel_to_world: np.ndarray) -> Volume:
    return Volume(xray.detach().cpu().float().T[..., None].contiguous(), pixel_to_world)


def _corners(xray: Tensor, pixel_to_world: np.ndarray) -> np.ndarray:
    """The outer corners (4, 3) of the detector, one after the other around it."""
    height, width = xray.shape
    ends = [(-0.5, -0.5), (width - 0.5, -0.5), (width - 0.5, height - 0.5), (-0.5, height - 0.5)]
    return np.array([pixel_to_world[:3] @ (column, row, 0.0, 1.0) for column, row in ends])


class _Scene:
    """The nodes of a scene, as MRML has them, while their files are written."""

    def __init__(self) -> None:
        self._root = ElementTree.Element("MRML", version="Slicer5.0.0", userTags="")
        self._counts: dict[str, int] = {}

    def text(self) -> str:
        """The file's content."""
        ElementTree.indent(self._root, " ")
        return ElementTree.tostring(self._root, encoding="unicode", xml_declaration=False) + "\n"

    def add_volume(self, file: Path, name: str, volume: Volume) -> None:
        """A volume whose geometry is that of its NRRD."""
        write_volume(volume, file)
        storage = self._stored("VolumeArchetypeStorage", file, centerImage="0", UseOrientationFromFile="1")
        kind = "vtkMRMLScalarVolumeDisplayNode"
        shown = self._shown("VolumeDisplay", kind, autoWindowLevel="1", colorNodeID=_GREY)
        self._add("Volume", name, "vtkMRMLScalarVolumeNode", references=f"display:{shown};storage:{storage};")

    def add_point(self, file: Path, name: str, point: np.ndarray) -> None:
        """A point list of one point."""
        write_fiducials(file, point[None], [name])
        storage = self._stored("MarkupsJsonStorage", file, coordinateSystem="LPS")
        shown = self._shown("MarkupsFiducialDisplay", color=_YELLOW, selectedColor=_YELLOW)
        self._add("MarkupsFiducial", name, references=f"display:{shown};storage:{storage};")

    def add_lines(self, file: Path, name: str, start: np.ndarray, ends: np.ndarray) -> None:
        """A model of straight lines from one point to others."""
        _write_lines(file, name, start, ends)
        storage = self._stored("ModelStorage", file, coordinateSystem="RAS")
        shown = self._shown("ModelDisplay", color=_YELLOW, lineWidth="2", lighting="false")
        self._add("Model", name, references=f"display:{shown};storage:{storage};")

    def _stored(self, tag: str, file: Path, **attributes: str) -> str:
        return self._add(tag, tag, hideFromEditors="true", fileName=f"Data/{file.name}", **attributes)

    def _shown(self, tag: str, kind: str | None = None, **attributes: str) -> str:
        return self._add(tag, tag, kind, hideFromEditors="true", visibility="true", **attributes)

    def _add(self, tag: str, name: str, kind: str | None = None, **attributes: str) -> str:
        kind = kind or f"vtkMRML{tag}Node"
        self._counts[kind] = self._counts.get(kind, 0) + 1
        identity = f"{kind}{self._counts[kind]}"
        ElementTree.SubElement(self._root, tag, {"id": identity, "name": name, **attributes})
        return identity


def _write_lines(path: Path, title: str, start: np.ndarray, ends: np.ndarray) -> None:
    """Polygonal data of VTK's legacy format, in text; Slicer reads from the title in which system it is."""
    points = [" ".join(map(repr, point.tolist())) for point in (start, *ends)]
    lines = [f"2 0 {number}" for number in range(1, len(points))]
    content = ["# vtk DataFile Version 3.0", f"{title} SPACE=RAS", "ASCII", "DATASET POLYDATA"]
    content += [f"POINTS {len(points)} double", *points, f"LINES {len(lines)} {3 * len(lines)}", *lines]
    path.write_text("\n".join(content) + "\n", encoding="ascii")
