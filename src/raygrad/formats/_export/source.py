"""What is exported: poses, about the CT's centre or in the world of its file, and whose X-rays they are."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raygrad._errors import InputError
from raygrad.data import Subject
from raygrad.formats._views import View, join_views
from raygrad.formats._xrays import read_xray, read_xrays
from raygrad.geometry import ConeViews
from raygrad.pose import RigidTransform

_FRAME = re.compile(r"(?P<file>.+), (?:frame (?P<number>\d+)|(?P<made>mean|least-dense) frame)")
Frame = int | str | None
"""Which image of a file: its number from 1, "mean" or "least-dense" of all, or None for its only one."""


@dataclass(frozen=True, eq=False)
class Source:
    """Poses with what is known of them.

    Attributes:
        of_each: the views one by one, about the CT's centre.
        name: where they are from, for people.
        said_file_to_world: from the world of the CT's file to that of the poses, None if the poses do not say.
        ct: the CT's name, if it is known: a file or a folder.
        series_uid: which series of its folder.
        load_ct: reads it, in HU; about its centre.
        xrays: the files of X-rays.
        pixels: of each view's X-ray, where they are at hand.
        outcome: how the poses were found.
        overlay: a picture of CT and X-rays in one.
        centred: leave the origin in the CT's centre.
    """

    of_each: tuple[View, ...]
    name: str
    said_file_to_world: np.ndarray | None = None
    ct: str | None = None
    series_uid: str | None = None
    load_ct: Callable[[], Subject] | None = None
    xrays: Sequence[Path] = ()
    pixels: Sequence[Tensor] | None = None
    outcome: Mapping[str, Any] | None = None
    overlay: Path | None = None
    centred: bool = False

    @cached_property
    def views(self) -> ConeViews:
        """The views together, about the CT's centre."""
        return join_views(self.of_each, f"'{self.name}'")

    @property
    def names(self) -> list[str | None]:
        """Of the views' X-rays."""
        return [view.xray for view in self.of_each]

    @cached_property
    def subject(self) -> Subject:
        """The CT, about its centre."""
        assert self.load_ct is not None, "kinds that need a CT are refused without"
        return self.load_ct()

    @cached_property
    def file_to_world(self) -> np.ndarray | None:
        """From the world of the CT's file to that of the poses, as these say or else the CT does; None if neither."""
        if self.said_file_to_world is None and self.load_ct is not None:
            return self.subject.file_to_world
        return self.said_file_to_world

    @property
    def known_file_to_world(self) -> np.ndarray:
        """The same, where it has to be known.

        Raises:
            InputError: it is not.
        """
        if self.file_to_world is None:
            raise InputError(
                f"'{self.name}' does not say where the origin of its CT's file is: give --ct, or --centred to leave "
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

    def images(self) -> list[Tensor]:
        """The pixels of every view's X-ray.

        Raises:
            InputError: there are not as many as views.
        """
        if self.pixels is not None:
            return list(self.pixels)
        found = self.files_of_views()
        if found is not None:
            return [read_xray(path, frame).pixels for path, frame in found]
        if len(self.xrays) == 1:
            return [xray.pixels for xray in read_xrays(self.xrays[0])]
        raise InputError(
            f"A scene shows the X-ray of each view: give --xray {len(self.names)} times, in the order of the views, or "
            f"the one file that has them all. Got {len(self.xrays)}."
        )
