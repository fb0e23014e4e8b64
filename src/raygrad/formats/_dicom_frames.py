"""Where a DICOM header says something of one frame: in the macros of enhanced files, or for all frames at its top."""

from typing import Any


def places(dataset: Any, frame: int, *sequences: str) -> list[Any]:
    """Where to look, in order: the frame's functional groups, those of all frames (PS3.3, C.7.6.16), and the top.

    Args:
        dataset: a header.
        frame: counted from 0.
        sequences: the keywords of the macros' sequences.
    """
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    groups = [*per_frame[frame : frame + 1], *shared[:1]]
    return [item for group in groups for name in sequences for item in (group.get(name) or [])[:1]] + [dataset]


def text(place: Any, keyword: str) -> str:
    """A header's code in capitals; the first of several, empty where there is none."""
    value = place.get(keyword)
    if value is None:
        return ""
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        value = next(iter(value), "")
    return str(value).strip().upper()
