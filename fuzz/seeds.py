"""Small files of every format that raygrad reads, and who reads them: what is mutated.

A reader returns what it found as arrays and texts, so that two readings can be compared.
"""

import gzip
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "cases"))

from dicom_files import write_enhanced, write_series  # noqa: E402
from dicom_xrays import save_dicom  # noqa: E402
from scene_cases import icosphere, write_stl  # noqa: E402
from segmentation_files import write_rtstruct, write_seg, write_slicer  # noqa: E402

from raygrad import data, formats, landscape, scene  # noqa: E402
from raygrad._errors import InputError  # noqa: E402
from raygrad.geometry import Intrinsics  # noqa: E402
from raygrad.geometry.trajectories import circular  # noqa: E402
from raygrad.pose import RigidTransform  # noqa: E402
from raygrad.projector import Projector  # noqa: E402
from raygrad.reconstruction import Resumption, reconstruct  # noqa: E402

Found = tuple[Any, ...]

NUMBERS = np.random.default_rng(0).integers(-1000, 1500, (12, 10, 8)).astype(np.int16)
AFFINE = np.array([[2.0, 0, 0, -11], [0, 2.5, 0, -9], [0, 0, 3, 20], [0, 0, 0, 1]])
VIEWS = circular(3, sdd=1200.0, sid=800.0, height=5, width=7, delx=4.0)
SPACING = (0.4, 0.5)


@dataclass(frozen=True)
class Seed:
    """A file that is read without fault.

    Attributes:
        write: makes it in a folder, and says which file it is.
        read: what raygrad makes of that file.
        checked: all of its bytes are under a checksum, so that no damage may be read as something else.
    """

    write: Callable[[Path], Path]
    read: Callable[[Path], Found]
    checked: bool = False


def _volume(suffix: str, checked: bool = False) -> Seed:
    def write(folder: Path) -> Path:
        path = folder / f"ct{suffix}"
        if suffix.endswith("hd") or suffix == ".nhdr":  # a header with its voxels beside it
            import SimpleITK as sitk

            image = sitk.GetImageFromArray(NUMBERS.transpose(2, 1, 0))
            sitk.WriteImage(image, str(path))
        else:
            data.write_volume(data.Volume(NUMBERS, AFFINE), path)
        return path

    return Seed(write, _as_volume, checked)


def _as_volume(path: Path) -> Found:
    volume = data.read_volume(path)
    return volume.voxels.numpy(), volume.affine


def _as_ct(path: Path) -> Found:
    subject = data.read(path)
    return subject.volume.voxels.numpy(), subject.volume.affine, subject.density.voxels.numpy()


def _as_labels(path: Path) -> Found:
    subject = data.read(data.Volume(NUMBERS, AFFINE), labelmap=path)
    return subject.mask.voxels.numpy(), repr(subject.structures)


def _series(folder: Path) -> Path:
    positions = [(0.0, 0.0, 2.5 * k) for k in range(4)]
    return write_series(folder / "series", NUMBERS[:4].astype(np.int16), positions)


def _enhanced(folder: Path) -> Path:
    return write_enhanced(folder / "enhanced.dcm", NUMBERS[:4], [(0.0, 0.0, 2.5 * k) for k in range(4)])


def _seg(folder: Path) -> Path:
    frames, positions = np.ones((2, 6, 5)), [(-8.0, -8.0, 21.0), (-8.0, -8.0, 24.0)]
    return write_seg(folder / "seg.dcm", frames, [1, 2], positions, {1: "one", 2: "two"})


def _rtstruct(folder: Path) -> Path:
    square = np.array([[5.0, 5, 26], [-5, 5, 26], [-5, -5, 26], [5, -5, 26]])
    return write_rtstruct(folder / "rt.dcm", {1: [square, square + np.array([0, 0, 3])]}, {1: "box"})


def _slicer(folder: Path) -> Path:
    layers = (NUMBERS > 500).astype(np.uint8)[None]
    segments = [{"Name": "bone", "LabelValue": 1, "Layer": 0, "ID": "Segment_1", "Extent": "0 11 0 9 0 7"}]
    return write_slicer(folder / "labels.seg.nrrd", layers, AFFINE, segments)


def _image(suffix: str, checked: bool = False) -> Seed:
    def write(folder: Path) -> Path:
        path = folder / f"xray{suffix}"
        formats.write_image(path, torch.from_numpy(np.abs(NUMBERS[:, :, 0]) / 1000.0).float(), SPACING)
        return path

    return Seed(write, _as_xray, checked)


def _as_xray(path: Path) -> Found:
    xray = formats.read_xray(path)
    return xray.pixels.numpy(), repr((xray.spacing, xray.sdd, xray.values))


def _xray_dicom(folder: Path) -> Path:
    pixels = np.abs(NUMBERS[:3]).astype(np.uint16)
    header = {"ImagerPixelSpacing": [0.4, 0.5], "DistanceSourceToDetector": 1200, "DistanceSourceToPatient": 800}
    angles = {"PositionerPrimaryAngle": 10, "PositionerSecondaryAngle": -5, "FrameTime": 33}
    return save_dicom(folder / "run.dcm", pixels, "XA", **header, **angles)


def _as_run(path: Path) -> Found:
    several = formats.read_xrays(path, "all")
    return tuple(one.pixels.numpy() for one in several)


def _stack(suffix: str, checked: bool = False) -> Seed:
    def write(folder: Path) -> Path:
        path = folder / f"stack{suffix}"
        if suffix == ".npz":
            np.savez(path, images=np.abs(NUMBERS).astype(np.float32), spacing=np.array(SPACING))
        else:
            formats.write_stack(path, torch.from_numpy(np.abs(NUMBERS) / 1000.0).float(), SPACING)
        return path

    return Seed(write, lambda path: (formats.read_stack(path).images.numpy(),), checked)


def _geometry(kind: str, suffix: str, checked: bool = False) -> Seed:
    def write(folder: Path) -> Path:
        path = folder / f"geometry{suffix}"
        try:
            formats.write_geometry(path, VIEWS, kind=kind)
        except InputError:  # a file of one view
            formats.write_geometry(path, VIEWS[[0]], kind=kind)
        return path

    def read(path: Path) -> Found:
        found = formats.read_geometry(path, formats.Frames((5, 7), (4.0, 4.0)))
        return tuple(one.numpy() for one in found.rays())

    return Seed(write, read, checked)


def _poses(folder: Path) -> Path:
    view = formats.View(RigidTransform(torch.eye(4)[None]), Intrinsics(1020.0, 64, 60, 2.0, 2.0), "AP", "xray.png")
    formats.write_poses(folder / "pose.json", [view])
    return folder / "pose.json"


def _transform(suffix: str) -> Seed:
    def write(folder: Path) -> Path:
        formats.write_transform(folder / f"map{suffix}", RigidTransform(torch.eye(4)[None]))
        return folder / f"map{suffix}"

    return Seed(write, lambda path: (formats.read_transform(path).matrix.numpy(),))


def _mesh(suffix: str) -> Seed:
    def write(folder: Path) -> Path:
        corners, faces = icosphere(10.0, rounds=1)
        path = folder / f"ball{suffix}"
        if suffix == ".stl":
            write_stl(path, corners, faces)
        elif suffix == ".obj":
            lines = [f"v {x} {y} {z}" for x, y, z in corners] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in faces]
            path.write_text("\n".join(lines) + "\n")
        else:
            head = ["ply", "format ascii 1.0", f"element vertex {len(corners)}"]
            head += [f"property float {axis}" for axis in "xyz"]
            head += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
            lines = [" ".join(map(str, point)) for point in corners] + [f"3 {a} {b} {c}" for a, b, c in faces]
            path.write_text("\n".join(head + lines) + "\n")
        return path

    def read(path: Path) -> Found:
        mesh = scene.Mesh(path)
        return mesh.vertices.numpy(), mesh.faces.numpy()

    return Seed(write, read)


def _landscape(folder: Path) -> Path:
    slices = [landscape.Slice(("x",), ("mm",), (np.linspace(-1, 1, 21),), np.random.default_rng(0).random(21))]
    truth = landscape.PoseParameters.of(torch.zeros(1, 3), torch.zeros(1, 3), convention="ZXY")
    landscape.Landscape(tuple(slices), truth, 0.0, "loss").save(folder / "landscape.npz")
    return folder / "landscape.npz"


GRID = data.VolumeGeometry.centred((6, 6, 6), 4.0)
IMAGES = Projector(GRID, VIEWS, "joseph")(torch.ones(6, 6, 6))


def _checkpoint(folder: Path) -> Path:
    path = folder / "state.pt"
    reconstruct(IMAGES, VIEWS, GRID, method="sirt", iterations=2, checkpoint=path)
    return path


def _as_checkpoint(path: Path) -> Found:
    return str(Resumption.of(path).iterations), _go_on(path)


def _go_on(path: Path) -> np.ndarray:
    """What comes of a run that goes on from there; it writes to the file, so from a copy."""
    copy = Path(shutil.copy(path, path.with_name("copy.pt")))
    return reconstruct(IMAGES, VIEWS, GRID, method="sirt", iterations=3, checkpoint=copy).volume.numpy()


def _nifti_of_bytes(folder: Path) -> Path:
    """A NIfTI of 8 bits that is compressed as other programs do it, at another level."""
    path = _volume(".nii").write(folder)
    (folder / "fast.nii.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    return folder / "fast.nii.gz"


SEEDS: dict[str, Seed] = {
    "ct.nii": _volume(".nii"),
    "ct.nii.gz": _volume(".nii.gz", checked=True),
    "fast.nii.gz": Seed(_nifti_of_bytes, _as_volume, checked=True),
    "ct.nrrd": _volume(".nrrd"),
    "ct.nhdr": _volume(".nhdr"),
    "ct.mha": _volume(".mha"),
    "ct.mhd": _volume(".mhd"),
    "ct.nii as a CT": Seed(_volume(".nii").write, _as_ct),
    "DICOM series": Seed(_series, _as_volume),
    "enhanced DICOM": Seed(_enhanced, _as_volume),
    "labels.seg.nrrd": Seed(_slicer, _as_labels),
    "DICOM segmentation": Seed(_seg, _as_labels),
    "RT structure set": Seed(_rtstruct, _as_labels),
    "xray.png": _image(".png", checked=True),
    "xray.tif": _image(".tif"),
    "xray.nii.gz": _image(".nii.gz", checked=True),
    "xray.nrrd": _image(".nrrd"),
    "xray.mha": _image(".mha"),
    "X-ray DICOM": Seed(_xray_dicom, _as_run),
    "stack.tif": _stack(".tif"),
    "stack.npy": _stack(".npy"),
    "stack.npz": _stack(".npz", checked=True),
    "stack.mha": _stack(".mha"),
    "stack.nrrd": _stack(".nrrd"),
    **{
        f"{kind.name}, {suffix}": _geometry(kind.name, suffix, checked=suffix == ".npz")
        for kind in formats.GEOMETRIES
        for suffix in kind.written_suffixes
    },
    "pose.json": Seed(_poses, lambda path: tuple(view.pose.matrix.numpy() for view in formats.read_poses(path))),
    "X-ray geometry": Seed(_xray_dicom, lambda path: (repr(formats.read_xray_geometry(path)),)),
    **{f"map{suffix}": _transform(suffix) for suffix in (".tfm", ".h5")},
    **{f"ball{suffix}": _mesh(suffix) for suffix in (".stl", ".ply", ".obj")},
    "landscape.npz": Seed(_landscape, lambda path: (repr(landscape.Landscape.load(path)),)),
    "checkpoint": Seed(_checkpoint, _as_checkpoint, checked=True),
}
