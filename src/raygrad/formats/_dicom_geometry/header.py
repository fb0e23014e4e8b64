"""A header's numbers, with an account of each: where it was found, whether it is used, how sure it is."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raygrad._dicom import number, numbers
from raygrad._errors import InputError
from raygrad._optional import require
from raygrad.formats._dicom_frames import layers
from raygrad.formats._dicom_geometry.geometry import HeaderNumber
from raygrad.formats._dicom_receptor import source_and_receptor
from raygrad.formats._dicom_spacing import detector_plane

if TYPE_CHECKING:
    from pydicom import Dataset

UNLINKED_MM = 50.0
"""Standard deviation of where the isocentre, or the patient's middle, is in the CT."""

XRAY_VENDORS: list[Callable[["Dataset"], Mapping[str, Any]]] = []
"""What vendors' private elements say: each function takes a file's dataset and returns values by DICOM keyword, such as
{"DistanceSourceToDetector": 1195.0}, which then come before those of the header; nothing for other vendors' files."""


class Header:
    """The elements that hold for one frame, and the account of what was taken from them.

    Of the enhanced classes' functional groups, shared ones and the frame's, the elements stand beside the file's own.
    """

    def __init__(self, dataset: "Dataset", path: Path, frame: int | None = None) -> None:
        self.path = path
        self.frames = int(number(dataset, "NumberOfFrames") or 1)
        self.frame = 0 if frame is None else frame - 1
        if not 0 <= self.frame < self.frames:
            raise InputError(f"Expected a frame of 1 to {self.frames}. Got {frame} for '{path}'.")
        self.rows, self.columns = int(number(dataset, "Rows") or 0), int(number(dataset, "Columns") or 0)
        if self.rows < 1 or self.columns < 1:
            raise InputError(f"Expected an image. Got '{path}', whose header does not say its rows and columns.")
        self.from_vendor: dict[str, Any] = {}
        for vendor in XRAY_VENDORS:
            self.from_vendor |= vendor(dataset)
        found = [self.from_vendor, *layers(dataset, self.frame)]
        self.elements, self.plane = Elements(found), detector_plane(found)
        self.source_and_receptor = source_and_receptor(found)
        self.first = Elements([self.from_vendor, *layers(dataset, 0)])
        self.account: list[HeaderNumber] = []
        self.warnings: list[str] = []

    def text(self, keyword: str) -> str:
        """A word in capitals, or several with DICOM's backslash between; "" where there is none."""
        value = self.elements.get(keyword)
        several = hasattr(value, "__iter__") and not isinstance(value, str)
        return "" if value is None else "\\".join(map(str, value if several else [value])).strip().upper()

    def number(self, keyword: str) -> float | None:
        """A number, or None."""
        return self.elements.number(keyword)

    def numbers(self, keyword: str, count: int | None = None) -> tuple[float, ...] | None:
        """So many numbers, or None."""
        found = numbers(self.elements, keyword)
        return found if found and count in (None, len(found)) else None

    def length(self, keyword: str) -> float | None:
        """A length that can be one. Zeros stand for what is not known, and a warning says so."""
        found = self.number(keyword)
        if found is not None and found <= 0:
            self.warn(f"{keyword} is {found:g} mm, which is none: taken as not known.")
            return None
        return found

    def lengths(self, keyword: str) -> tuple[float, float] | None:
        """Two lengths, likewise: between rows, then between columns."""
        found = self.numbers(keyword, 2)
        if found is not None and min(found) <= 0:
            self.warn(f"{keyword} is {found[0]:g} and {found[1]:g} mm, which is none: taken as not known.")
            return None
        return None if found is None else (found[0], found[1])

    def of_frame(self, keyword: str) -> float | None:
        """How far something has moved at this frame since the first one (PS3.3, C.8.7.5.1.3).

        One value is the average step from frame to frame; as many as frames are offsets from the first one.
        """
        values = self.numbers(keyword)
        if values is None:
            return None
        if len(values) == self.frames and self.frames > 1:
            return values[self.frame]
        if len(values) > 1:
            self.warn(f"{keyword} has {len(values)} values for {self.frames} frames: not used.")
            return None
        return self.frame * values[0]

    def warn(self, sentence: str) -> None:
        """Keep a warning, once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def found(
        self,
        name: str,
        value: float | tuple[float, ...] | str | None,
        unit: str,
        keyword: str,
        deviation: float | None = None,
        note: str = "",
        used: bool = True,
    ) -> None:
        """Account for an element of the header."""
        if keyword in self.from_vendor:
            note = f"{note}, " * bool(note) + "from the vendor's private elements"
        self.account.append(HeaderNumber(name, value, unit, keyword, tag_of(keyword), "read", used, deviation, note))

    def assumed(
        self, name: str, value: float | tuple[float, ...] | str, unit: str, deviation: float | None, note: str = ""
    ) -> None:
        """Account for what the header does not say."""
        self.account.append(HeaderNumber(name, value, unit, source="assumed", deviation=deviation, note=note))

    def unlinked(self, what: str, place: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        """Account for where something is in the CT, which no X-ray's header says: at the centre, but for a `place`."""
        self.assumed(f"{what} in the CT", place, "mm", UNLINKED_MM, "the CT's centre: the header has no link to a CT")
        self.warn(
            f"Nothing links the X-ray to the CT: the {what} is taken to be at the CT's centre, {UNLINKED_MM:g} mm "
            "uncertain."
        )

    def unknown(self, name: str, note: str = "") -> None:
        """Account for what is not known, and that geometry does without."""
        self.account.append(HeaderNumber(name, None, source="unknown", used=False, note=note))

    def leave(self, name: str, unit: str, keywords: Iterable[str], note: str) -> None:
        """Account for elements that are there, and that geometry must not or cannot use."""
        for keyword in keywords:
            value: Any = self.numbers(keyword) or self.text(keyword)
            if value:
                value = value[0] if isinstance(value, tuple) and len(value) == 1 else value
                self.found(name, value, unit, keyword, note=note, used=False)


def tag_of(keyword: str) -> str:
    """DICOM's number of a keyword, such as "(0018,1110)"."""
    tag = require("pydicom", "reading DICOM").datadict.tag_for_keyword(keyword)
    return "" if tag is None else f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


class Elements:
    """Elements by keyword, of the first that has one; what cannot be read (letters for a number) is not there."""

    def __init__(self, layers: "list[dict[str, Any] | Dataset]") -> None:
        self._layers = layers

    def get(self, keyword: str) -> Any:
        for layer in self._layers:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pydicom's, of values that break the rules of their type
                try:
                    value = layer.get(keyword)
                except Exception:  # whatever a parser meets in such values
                    continue
            if value is not None:
                return value
        return None

    def number(self, keyword: str) -> float | None:
        """A number, or None."""
        return number(self, keyword)

    def __contains__(self, keyword: str) -> bool:
        return self.get(keyword) is not None
