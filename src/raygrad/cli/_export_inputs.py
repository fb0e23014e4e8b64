"""What `raygrad export` writes: poses, about the CT's centre or in the world of its file, and whose X-rays they are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from raygrad._errors import InputError
from raygrad.cli._loading import load_attenuation
from raygrad.formats import View, join_views, read_file_to_world, read_poses
from raygrad.geometry import ConeViews
from raygrad.pose import RigidTransform

_FRAME = re.compile(r"(?P<file>.+), (?:frame (?P<number>\d+)|(?P<made>mean|least-dense) frame)")
Frame = int | str | None
"""Which image of a file: its number from 1, "mean" or "least-dense" of all, or None for its only one."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the command was given.

    Attributes:
        poses: the pose file.
        ct: the CT's name, if it was given.
        series_uid: which series of its folder.
        xrays: the files of X-rays.
        centred: leave the origin in the CT's centre.
    """

    poses: Path
    ct: str | None
    series_uid: str | None
    xrays: Sequence[Path]
    centred: bool

    @cached_property
    def of_each(self) -> tuple[View, ...]:
        """The views one by one, about the CT's centre."""
        return read_poses(self.poses)

    @cached_property
    def views(self) -> ConeViews:
        """The views together, about the CT's centre."""
        return join_views(self.of_each, f"'{self.poses}'")

    @property
    def names(self) -> list[str | None]:
        """Of the views' X-rays."""
        return [view.xray for view in self.of_each]

    @cached_property
    def file_to_world(self) -> np.ndarray | None:
        """From the world of the CT's file to that of the poses, as these say or else the CT does; None if neither."""
        said = read_file_to_world(self.poses)
        if said is None and self.ct is not None:
            return load_attenuation(self.ct, series_uid=self.series_uid).file_to_world
        return said

    @property
    def known_file_to_world(self) -> np.ndarray:
        """The same, where it has to be known.

        Raises:
            InputError: it is not.
        """
        if self.file_to_world is None:
            raise InputError(
                f"'{self.poses}' does not say where the origin of its CT's file is: give --ct, or --centred to leave "
                "the origin in the CT's centre."
            )
        return self.file_to_world

    @cached_property
    def in_file(self) -> ConeViews:
        """The views in the world of the CT's own file."""
        return self.views.moved(RigidTransform(torch.as_tensor(self.known_file_to_world)).inverse())

    def files_of_views(self) -> list[tuple[Path, Frame]] | None:
        """Each view's X-ray: by the name that the poses have for it, else in the order of the views.

        None where there are neither as many nor of these names.
        """
        found = [_FRAME.fullmatch(name or "") for name in self.names]
        files = [match["file"] if match else name for match, name in zip(found, self.names, strict=True)]
        by_name = {path.name: path for path in self.xrays}
        if len(by_name) == len(self.xrays) and all(file in by_name for file in files):
            chosen = [by_name[str(file)] for file in files]
        elif len(self.xrays) == len(files):
            chosen = list(self.xrays)
        else:
            return None
        frames = [None if match is None else match["made"] or int(match["number"]) for match in found]
        return list(zip(chosen, frames, strict=True))

    def xrays_in_dicom(self) -> tuple[list[Path], list[int | None]]:
        """What a DICOM file refers to: each view's X-ray and frame, or all X-rays if it is not known whose they are."""
        found = self.files_of_views()
        if found is None and len(self.xrays) == 1:
            views = len(self.names)
            return list(self.xrays) * views, list(range(1, views + 1))
        if found is None:
            return list(self.xrays), [None] * len(self.xrays)
        return [path for path, _ in found], [frame if isinstance(frame, int) else None for _, frame in found]
