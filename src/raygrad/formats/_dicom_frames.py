"""Where a DICOM header says something of one frame: in the macros of enhanced files, or for all frames at its top."""

from typing import Any

from raygrad._dicom import number


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


def layers(dataset: Any, frame: int) -> list[Any]:
    """All that holds for one frame, whatever macro it is in, in the order of `places`."""
    found: list[Any] = []
    for exposure in dataset.get("ExposureSequence") or ():  # RT Image: one for each frame, PS3.3, C.8.8.2
        if number(exposure, "ReferencedFrameNumber") == frame + 1:
            found.append(exposure)
    for selected in dataset.get("SelectedFrameFunctionalGroupsSequence") or ():  # Enhanced Continuous RT Image
        if number(selected, "SelectedFrameNumber") == frame + 1:
            found += [macro.value[0] for macro in selected if macro.VR == "SQ" and len(macro.value) == 1]
    for name, place in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        groups = dataset.get(name) or ()
        if place < len(groups):
            found += [macro.value[0] for macro in groups[place] if macro.VR == "SQ" and len(macro.value) == 1]
    return [*found, dataset]
