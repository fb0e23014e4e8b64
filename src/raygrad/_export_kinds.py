"""The kinds of files that poses are exported to: one table, from which come the choice, the help and the errors."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raygrad._errors import InputError
from raygrad._files import suffix_of


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: for people; also what is typed, with or without hyphens for what is no letter.
        suffixes: that the names of its files end in.
        geometry: `raygrad.formats.write_geometry` writes it, by this name.
        one_view: it holds a single one.
        needs: what it cannot do without, "ct" or "xray".
        xrays: it makes something of X-rays.
        centred: the origin of its world is the CT's centre; otherwise that of the CT's own file.
        first: the one that is meant where several have the suffix and nobody says.
    """

    name: str
    suffixes: tuple[str, ...]
    geometry: bool = True
    one_view: bool = False
    needs: tuple[str, ...] = ()
    xrays: bool = False
    centred: bool = False
    first: bool = False

    @property
    def typed(self) -> str:
        """How it is typed."""
        return typed(self.name)


TRANSFORM = Kind("ITK's transform", (".tfm", ".h5", ".hdf5", ".hdf", ".txt"), geometry=False, one_view=True)
SCENE = Kind("Slicer's scene", (".mrb",), geometry=False, needs=("ct", "xray"), xrays=True)
OVERLAY = Kind("overlay", (".dcm",), geometry=False, xrays=True, centred=True, first=True)
REGISTRATION = Kind("spatial registration", (".dcm",), geometry=False, one_view=True, needs=("ct",))
REPORT = Kind("structured report", (".dcm",), geometry=False, xrays=True)
JSON = Kind("raygrad's JSON", (".json",), centred=True)
KINDS = (
    JSON,
    Kind("a table of views", (".csv",)),
    Kind("RTK's XML", (".xml",)),
    Kind("OpenCV's YAML", (".yml", ".yaml"), one_view=True),
    Kind("XMALab's MayaCam 2.0", (".txt",), one_view=True),
    Kind("projection matrices as text", (".txt", ".dat")),
    Kind("projection matrices", (".npz", ".npy")),
    Kind("ASTRA's cone_vec", (".npy", ".npz", ".txt")),
    Kind("LEAP's modular beams", (".npz",)),
    Kind("JointTrack's poses", (".jts",)),
    TRANSFORM,
    SCENE,
    OVERLAY,
    REGISTRATION,
    REPORT,
)
"""All of them; the tests compare those of geometry with `raygrad.formats.GEOMETRIES`."""


def typed(name: str) -> str:
    """A kind as it is typed: "rtks-xml" for RTK's XML."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower().replace("'", "")).strip("-")


def suffixes() -> tuple[str, ...]:
    """All suffixes, each once."""
    return tuple(dict.fromkeys(suffix for kind in KINDS for suffix in kind.suffixes))


def described() -> str:
    """The table in words, for the help."""
    return "; ".join(f"{' '.join(kind.suffixes)}: {kind.typed}" for kind in KINDS)


def choose(to: Sequence[str], kind: str | None) -> list[tuple[Path, Kind]]:
    """The files that are written, and the kind of each.

    Args:
        to: the names, some perhaps with a kind of their own, as in "report.dcm:structured-report".
        kind: of all that say none.

    Raises:
        InputError: no such kind, one that is not written to a file of this name, a suffix that no kind has, or that
            several have of which none was chosen.
    """
    return [_kind_of(path, own or kind) for path, own in map(_parts_of, to)]


def _parts_of(text: str) -> tuple[Path, str | None]:
    """The name and the kind that it says; a colon may also be that of a drive."""
    name, colon, own = text.rpartition(":")
    if colon and suffix_of(Path(name), suffixes()) is not None:
        return Path(name), own
    return Path(text), None


def _kind_of(path: Path, chosen: str | None) -> tuple[Path, Kind]:
    named = [kind for kind in KINDS if chosen is None or kind.typed == typed(chosen)]
    if not named:
        raise InputError(f"Expected as kind one of {', '.join(kind.typed for kind in KINDS)}. Got '{chosen}'.")
    known = dict.fromkeys(suffix for kind in named for suffix in kind.suffixes)
    suffix = suffix_of(path, known)
    if suffix is None:
        whose = "" if chosen is None else f", for {named[0].name}"
        raise InputError(f"Expected a file name that ends in {', '.join(known)}{whose}. Got '{path}'.")
    fitting = [kind for kind in named if suffix in kind.suffixes]
    fitting = [kind for kind in fitting if kind.first] or fitting
    if len(fitting) > 1:
        raise InputError(
            f"Expected kind as one of {', '.join(kind.typed for kind in fitting)}, which all are written to {suffix} "
            f"files. Got none: say --to {path}:{fitting[0].typed}, for example."
        )
    return path, fitting[0]
