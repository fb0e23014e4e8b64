"""`read`: from files or arrays to a Subject."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raygrad._memory import extremes
from raygrad.data._convert_torchio import from_torchio_image
from raygrad.data._density import hu_to_attenuation, hu_to_density
from raygrad.data._finer_slices import finer_slices as with_finer_slices
from raygrad.data._io import from_nibabel, read_volume
from raygrad.data._label_files import read_labels
from raygrad.data._labelmap import as_labels, keep, on_grid_of, select
from raygrad.data._not_hounsfield import warn_unless_hounsfield
from raygrad.data._resample import grid_with_spacing, resample
from raygrad.data._segments import Segments, merged_on
from raygrad.data._simpleitk import from_simpleitk
from raygrad.data._subject import Subject, as_fiducials, make_reorient
from raygrad.data._table import cut_out_table
from raygrad.data._volume import Volume
from raygrad.pose import RigidTransform

DensityOf = Callable[[Tensor], Tensor]


def read(
    volume: Any,
    labelmap: Any = None,
    labels: int | Sequence[int] | None = None,
    orientation: str | None = "AP",
    bone_attenuation_multiplier: float | int = 1.0,
    fiducials: Tensor | np.ndarray | None = None,
    transform: RigidTransform | Tensor | np.ndarray | None = None,
    center_volume: bool = True,
    resample_target: Any = None,
    *,
    density: str | DensityOf = "diffdrr",
    energy_kev: float | int | None = None,
    affine: Tensor | np.ndarray | None = None,
    series_uid: str | None = None,
    resample_slices: bool = False,
    remove_table: bool = False,
    finer_slices: bool = False,
    **attributes: Any,
) -> Subject:
    """Read a CT, and its labelmap, into a Subject ready to be rendered.

    A `HounsfieldWarning` is given where the CT's numbers do not look like HU.

    In this order: the axes are brought to the closest RAS+ order (the world geometry, and so every image, stays as the
    file says; only indices into `volume.data` change), the table is cut out, slices are made finer, HU become density,
    the density, volume and mask are set to 0 outside of the chosen labels, all are resampled, moved by `transform`, and
    centred. Memory is x-fastest throughout.

    Args:
        volume: path of an image file or of the folder of a DICOM series (see `raygrad.data.read_volume`), a Volume, an
            image of torchio, nibabel or SimpleITK, or a tensor or array (X, Y, Z) together with `affine`. In HU.
        labelmap: the structures' labels, given likewise; brought to the CT's grid by the nearest voxel, 0 outside. An
            array is taken to lie on the CT's grid as it was given. A path may be that of a segmentation of 3D Slicer's
            (.seg.nrrd), a DICOM segmentation or an RT structure set, whose names become `subject.structures`.
        labels: keep only these structures.
        orientation: the view that poses start from: "AP", "PA" or None.
        bone_attenuation_multiplier: factor on the HU of bone (above 350) in `hu_to_density`.
        fiducials: points (N, 3) or (B, N, 3) in the file's world, in mm RAS+; they move with the volume.
        transform: moves the volume, the labels and the fiducials in the world before centring; a matrix of 4x4 may be
            any invertible affine one.
        center_volume: move the volume's isocentre to the origin of the world.
        resample_target: spacing in mm, one length or one per RAS axis, or an image (given as `volume` is) whose grid in
            the file's world is taken. As in torchio.Resample: trilinear for volume and density, nearest for the mask.
        density: "diffdrr" for `hu_to_density`, "attenuation" for `hu_to_attenuation` in 1/mm at `energy_kev`, or a
            function of the HU (X, Y, Z) that returns as many numbers.
        energy_kev: photon energy in keV, for density="attenuation" only.
        affine: the 4x4 voxel_to_world of a volume that is a tensor or array.
        series_uid: which series of a DICOM folder.
        resample_slices: bring DICOM slices at uneven steps, which are refused otherwise, to even ones.
        remove_table: cut the table, and all else that is not attached to the patient, out of the CT first (see
            `cut_out_table`); what went is `subject.cut_out`, a mask on the volume's grid.
        finer_slices: divide thick slices into thinner ones of about 1 mm (see `raygrad.data.finer_slices`), so that
            images do not show them.
        **attributes: kept as attributes of the subject, such as `structures`.

    Raises:
        FileNotFoundError: a path leads nowhere.
        ValueError: a file or argument is not as described; the message says what was expected and what came.
        TypeError: an image of a type that is not known here.
        ImportError: a reader's library is not installed.
    """
    reorient = make_reorient(orientation)
    density_of = _density_function(density, bone_attenuation_multiplier, energy_kev)
    if labels is not None and labelmap is None:
        raise ValueError(f"Expected a labelmap together with labels. Got labels {labels} alone.")

    as_given = _image(volume, affine, series_uid, resample_slices)
    ct = as_given.to_canonical()
    cut_out = None
    if remove_table:
        without = cut_out_table(ct)
        ct, cut_out = without.volume, without.mask
    if finer_slices:
        ct = with_finer_slices(ct)
        cut_out = None if cut_out is None else on_grid_of(ct, cut_out)[0]
    if not callable(density):
        warn_unless_hounsfield(ct)
    mask = None
    if labelmap is not None:
        mask, names = _labels_on_grid(labelmap, as_given, ct, labels)
        attributes = ({} if names is None else {"structures": names}) | attributes
    rendered = Volume(density_of(ct.voxels), ct.affine)
    if labels is not None and mask is not None:
        selected = select(mask, labels)
        ct, rendered, mask = keep(ct, selected), keep(rendered, selected), keep(mask, selected)

    if resample_target is not None:
        shape, grid_affine = _grid(resample_target, ct)
        ct = resample(ct, shape, grid_affine, outside=extremes(ct.data)[0])
        rendered = resample(rendered, shape, grid_affine)
        mask = None if mask is None else resample(mask, shape, grid_affine, nearest=True)
        cut_out = None if cut_out is None else resample(cut_out, shape, grid_affine, nearest=True)

    world_to_world = _matrix(transform)
    if center_volume:
        world_to_world = _shift(ct.moved(world_to_world).get_center()) @ world_to_world
    if cut_out is not None:
        attributes = {"cut_out": cut_out.moved(world_to_world)} | attributes
    return Subject(
        volume=ct.moved(world_to_world),
        density=rendered.moved(world_to_world),
        mask=None if mask is None else mask.moved(world_to_world),
        fiducials=None if fiducials is None else _move(as_fiducials(fiducials), world_to_world),
        orientation=orientation,
        reorient=reorient,
        file_to_world=world_to_world,
        **attributes,
    )


def _image(
    source: Any,
    affine: Tensor | np.ndarray | None = None,
    series_uid: str | None = None,
    resample_slices: bool = False,
) -> Volume:
    """Whatever holds an image, as a Volume."""
    if isinstance(source, (Tensor, np.ndarray)):
        if affine is None:
            raise ValueError("Expected `affine`, the 4x4 voxel_to_world, with a volume that is a tensor or array.")
        return Volume(source, affine)
    if affine is not None:
        raise ValueError(f"Expected `affine` only with a tensor or array. Got it with a {type(source).__name__}.")
    if isinstance(source, (str, os.PathLike)):
        return read_volume(source, series_uid, resample_slices)
    if series_uid is not None:
        raise ValueError(
            f"Expected `series_uid` only with the path of a folder. Got it with a {type(source).__name__}."
        )
    if isinstance(source, Volume):
        return source
    if hasattr(source, "dataobj"):
        return from_nibabel(source)
    if hasattr(source, "GetDirection"):
        return from_simpleitk(source)
    if hasattr(source, "data") and hasattr(source, "affine"):
        return from_torchio_image(source)
    raise TypeError(
        "Expected a path, a Volume, a tensor or array, or an image of torchio, nibabel or SimpleITK. "
        f"Got {type(source).__name__}."
    )


def _labels_on_grid(
    labelmap: Any, ct_as_given: Volume, ct: Volume, labels: int | Sequence[int] | None
) -> tuple[Volume, dict[int, str] | None]:
    """The labelmap on the CT's grid, and the names of its labels if it has them."""
    on_ct_grid = isinstance(labelmap, (Tensor, np.ndarray))
    if on_ct_grid and tuple(labelmap.shape[-3:]) != ct_as_given.spatial_shape:
        raise ValueError(
            f"Expected a labelmap array of the volume's shape {ct_as_given.spatial_shape}, as it has no affine of its "
            f"own. Got {tuple(labelmap.shape)}."
        )
    if isinstance(labelmap, (str, os.PathLike)):
        labelmap = read_labels(labelmap, ct, labels)
        if isinstance(labelmap, Segments):
            return merged_on(ct, labelmap, labels), labelmap.names
    image = _image(labelmap, ct_as_given.affine if on_ct_grid else None)
    return on_grid_of(ct, as_labels(image.to_canonical()))[0], None


def _density_function(density: str | DensityOf, multiplier: float | int, energy_kev: float | int | None) -> DensityOf:
    if density == "attenuation" and energy_kev is None:
        raise ValueError("Expected energy_kev, the photon energy from 20 to 150 keV, with density='attenuation'.")
    if density != "attenuation" and energy_kev is not None:
        raise ValueError(f"Expected energy_kev only with density='attenuation'. Got it with density={density!r}.")
    if density != "diffdrr" and multiplier != 1:
        raise ValueError(
            f"Expected bone_attenuation_multiplier only with density='diffdrr'. Got it with density={density!r}."
        )
    if density == "diffdrr":
        return lambda hu: hu_to_density(hu, multiplier)
    if density == "attenuation" and energy_kev is not None:
        energy = energy_kev
        return lambda hu: hu_to_attenuation(hu, energy)
    if callable(density):
        return density
    raise ValueError(f"Expected density 'diffdrr', 'attenuation' or a function of the HU. Got {density!r}.")


def _grid(target: Any, volume: Volume) -> tuple[tuple[int, int, int], np.ndarray]:
    if isinstance(target, (int, float)) or (isinstance(target, Sequence) and not isinstance(target, str)):
        return grid_with_spacing(volume, target)
    reference = _image(target).to_canonical()
    return reference.spatial_shape, reference.affine


def _matrix(transform: RigidTransform | Tensor | np.ndarray | None) -> np.ndarray:
    if transform is None:
        return np.eye(4)
    matrix = transform.matrix if isinstance(transform, RigidTransform) else torch.as_tensor(transform)
    if matrix.ndim == 3 and len(matrix) == 1:
        matrix = matrix[0]
    if matrix.shape != (4, 4):
        raise ValueError(f"Expected a single transform, a 4x4 matrix. Got shape {tuple(matrix.shape)}.")
    return matrix.detach().cpu().double().numpy()


def _shift(center: tuple[float, float, float]) -> np.ndarray:
    center_to_origin = np.eye(4)
    center_to_origin[:3, 3] = -np.array(center)
    return center_to_origin


def _move(points: Tensor, world_to_world: np.ndarray) -> Tensor:
    matrix = torch.tensor(world_to_world, device=points.device)
    return (points.double() @ matrix[:3, :3].T + matrix[:3, 3]).to(points.dtype)
