"""What a scene holds beside the poses: the CT in the world of its file, and the X-ray of every view."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from raygrad._errors import InputError
from raygrad.cli._loading import load_attenuation
from raygrad.data import Volume
from raygrad.formats import check_scene, read_xray, read_xrays, write_scene
from raygrad.geometry import ConeViews

_FRAME = re.compile(r"(?P<file>.+), (?:frame (?P<number>\d+)|(?P<made>mean|least-dense) frame)")


@dataclass(frozen=True)
class Scene:
    """What is written: the CT and the views in the world of the CT's file, with the X-rays' pixels and names."""

    ct: Volume
    views: ConeViews
    xrays: Sequence[Tensor]
    names: Sequence[str | None]

    @classmethod
    def of(cls, ct: str, views: ConeViews, xrays: Sequence[Path], names: Sequence[str | None]) -> "Scene":
        """Read the CT and the X-rays of these names.

        Raises:
            InputError: they cannot be read, or there are not as many as views.
            FileNotFoundError: there is no such file.
        """
        pixels = _xrays_of(xrays, names)
        subject = load_attenuation(ct)
        volume = subject.volume
        if subject.file_to_world is not None:
            volume = volume.moved(np.linalg.inv(subject.file_to_world))
        return cls(volume, views, pixels, names)

    def check(self, path: Path) -> None:
        """Refuse what cannot be written there, see `raygrad.formats.write_scene`."""
        check_scene(path, self.views, self.xrays)

    def write(self, path: Path) -> None:
        """Write it."""
        write_scene(path, self.ct, self.views, self.xrays, self.names)


def _xrays_of(paths: Sequence[Path], names: Sequence[str | None]) -> list[Tensor]:
    """The pixels of every view's X-ray: by the name that the poses have for it, else in the order of the views.

    Args:
        paths: one for each view, or one file that all are frames of.
        names: what the poses call the X-rays, with the frame if a file has several.

    Raises:
        InputError: there are neither as many nor one, or a file is no X-ray.
        FileNotFoundError: there is no such file.
    """
    found = [_FRAME.fullmatch(name or "") for name in names]
    files = [match["file"] if match else name for match, name in zip(found, names, strict=True)]
    by_name = {path.name: path for path in paths}
    if len(by_name) == len(paths) and all(file in by_name for file in files):
        chosen = [by_name[str(file)] for file in files]
    elif len(paths) == len(names):
        chosen = list(paths)
    elif len(paths) == 1:
        return [xray.pixels for xray in read_xrays(paths[0])]
    else:
        raise InputError(
            f"A scene shows the X-ray of each view: give --xray {len(names)} times, in the order of the views, or the "
            f"one file that has them all. Got {len(paths)}."
        )
    frames = [None if match is None else match["made"] or int(match["number"]) for match in found]
    return [read_xray(path, frame).pixels for path, frame in zip(chosen, frames, strict=True)]
