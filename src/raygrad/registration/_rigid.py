"""What of a patient is rigid: the structures that a pose is of, while organs about them move as one or breathe."""

import re
from collections.abc import Iterable

from raygrad.data import Subject

PARTS = {
    "spine": re.compile(r"vertebra|spine|spinal|disc", re.IGNORECASE),
    "pelvis": re.compile(r"pelvi|hip_|hip$|sacrum|ilium|coccyx", re.IGNORECASE),
    "skull": re.compile(r"skull|crani", re.IGNORECASE),
}
"""By the names of their structures, as TotalSegmentator and others give them."""

Rigid = str | int | Iterable[str | int]


def labels_of(subject: Subject, rigid: Rigid | None) -> tuple[int, ...]:
    """The labels, of the subject's labelmap, of what is rigid; none for the patient as a whole.

    Args:
        subject: with a labelmap, and the names of its structures where they are named.
        rigid: one or more of `PARTS`, names of structures, labels; None for all.

    Raises:
        TypeError: what is none of these.
        ValueError: a subject without a labelmap; parts, structures or labels that it has not.
    """
    if rigid is None:
        return ()
    named = [rigid] if isinstance(rigid, str | int) else list(rigid)
    if not named or not all(isinstance(one, str | int) and not isinstance(one, bool) for one in named):
        raise TypeError(f"Expected rigid as {', '.join(PARTS)}, names of structures or labels. Got {rigid!r}.")
    if subject.mask is None:
        raise ValueError(
            f"Expected a subject with a labelmap for rigid={rigid!r}. Got one without: read(..., labelmap=...)."
        )
    names = subject.structures or {}
    present = {int(label) for label in subject.mask.voxels.unique().tolist()} - {0}
    labels: list[int] = []
    for one in named:
        if isinstance(one, int):
            found = [one] if one in present else []
        else:
            fits = PARTS[one].search if one in PARTS else re.compile(re.escape(one)).fullmatch
            found = [label for label, name in names.items() if label in present and fits(name)]
        if not found:
            known = ", ".join(name for label, name in names.items() if label in present) or "labels without names"
            raise ValueError(f"Expected rigid structures that the labelmap has: {known}. Got {one!r}.")
        labels += [label for label in found if label not in labels]
    return tuple(labels)
