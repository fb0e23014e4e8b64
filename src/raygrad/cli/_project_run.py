"""`raygrad project`: the X-rays of a sweep around a CT."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._optional import require
from raygrad.cli._parsing import EXAMPLES, UserError
from raygrad.data import Subject, VolumeGeometry, load_example_ct, read
from raygrad.formats import intrinsics_of, save_image, write_stack
from raygrad.geometry import ConeViews, blind_views
from raygrad.projector import Projector

STACKS = (".nii.gz", ".nii", ".nrrd", ".mha", ".tif", ".tiff", ".npy")

Images = Float[Tensor, "view height width"]


def check_output(path: Path, geometry: Path | None = None) -> None:
    """See that views can be written there: to a file of a known kind, or to a folder that is new or empty.

    Raises:
        UserError: they cannot.
    """
    if path.is_dir():
        if any(path.iterdir()):
            raise UserError(f"The folder '{path}' is not empty; name another one, or a file such as views.nii.gz.")
    elif path.suffix and not path.name.lower().endswith(STACKS):
        raise UserError(f"The views' name must end in {', '.join(STACKS)}, or in nothing for a folder; got '{path}'.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"There is no folder '{path.parent}' to write '{path.name}' into.")
    if geometry is not None and geometry.is_dir():
        raise UserError(f"'{geometry}' is a folder, where the geometry would be written.")


def load_attenuation(
    ct: str, content: str = "attenuation", energy_kev: float = 70.0, centred: bool = True, series_uid: str | None = None
) -> Subject:
    """The CT of this name (see `raygrad.cli.load_subject`), whose `density` is what X-rays lose in it.

    Args:
        ct: "example", "chest", a file or a folder.
        content: "attenuation" for 1/mm at `energy_kev`, "density" for what `raygrad drr` renders, or "as-is" for the
            volume's own values, such as those of a reconstruction.
        energy_kev: of the photons.
        centred: move the CT's centre to the origin of the world.
        series_uid: which series of a DICOM folder.

    Raises:
        UserError: no such file.
    """
    options: dict[str, Any] = {"center_volume": centred}
    if content == "attenuation":
        options |= {"density": "attenuation", "energy_kev": energy_kev}
    elif content == "as-is":
        options |= {"density": _as_float}
    if ct in EXAMPLES:
        return load_example_ct(EXAMPLES[ct], **options)
    if not Path(ct).exists():
        raise UserError(f"There is no file or folder '{ct}' (or write 'example' for the built-in CT).")
    return read(ct, series_uid=series_uid, **options)


def project(
    subject: Subject,
    views: ConeViews,
    *,
    renderer: str = "siddon",
    device: torch.device | str = "cpu",
    photons: float | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Images:
    """The views' line integrals, with the noise of so many photons a pixel (without a patient) if they are given.

    They are rendered on `device`, and returned on the CPU. Counts are Poisson's, and a pixel that counts none is taken
    to have half a photon.

    Raises:
        UserError: views that see nothing of the CT, or a number of photons that is not positive.
    """
    if photons is not None and not 0 < photons < float("inf"):
        raise UserError(f"--photons is a positive number, not {photons:g}.")
    volume = subject.density
    if blind := blind_views(views, VolumeGeometry.of(volume)):
        raise UserError(f"{len(blind)} of {len(views)} views see nothing of the CT: {', '.join(map(str, blind[:10]))}.")
    projector, voxels = Projector(volume, views, renderer).to(device), volume.voxels.to(device)
    images = torch.empty(projector.range_shape)
    numbers: Any = range(len(views))
    if progress:
        numbers = require("tqdm", "progress bars", extra="cli").tqdm(numbers, desc="views", ncols=90)
    with torch.no_grad():
        for number in numbers:
            images[number] = projector[[number]](voxels)[0]
    if photons is not None:
        generator = torch.Generator().manual_seed(seed)
        for image in images:
            counts = torch.poisson(photons * torch.exp(-image), generator=generator)
            image.copy_(counts.clamp_(min=0.5).div_(photons).log_().neg_())
    return images


def project_to_file(
    subject: Subject, views: ConeViews, output: Path, *, say: Callable[[str], None] = print, **options: Any
) -> None:
    """Project, and write the views to one file or to a folder of TIFFs, which is whole or absent.

    `options` are those of `project`.
    """
    began = time.perf_counter()
    images = project(subject, views, **options)
    seconds = time.perf_counter() - began
    system = intrinsics_of(views)[0]
    spacing = (system.delx, system.dely)
    if output.name.lower().endswith(STACKS):
        write_stack(output, images, spacing)
    else:
        _write_folder(output, images, spacing)
    count, rows, columns = images.shape
    say(
        f"{output}: {count} views of {columns} x {rows} pixels of {spacing[0]:.4g} x {spacing[1]:.4g} mm, line "
        f"integrals {float(images.min()):.3g} to {float(images.max()):.3g}, in {seconds:.1f} s"
    )


def _write_folder(folder: Path, images: Images, spacing: tuple[float, float]) -> None:
    digits = len(str(len(images)))
    with tempfile.TemporaryDirectory(dir=folder.absolute().parent, prefix=".raygrad-") as temporary:
        unfinished = Path(temporary) / folder.name
        unfinished.mkdir()
        for number, image in enumerate(images, start=1):
            save_image(image.numpy(), unfinished / f"view{number:0{digits}d}.tif", spacing)
        if folder.is_dir():
            folder.rmdir()  # it is empty: see check_output
        os.replace(unfinished, folder)


def _as_float(values: Tensor) -> Tensor:
    return values.float()
