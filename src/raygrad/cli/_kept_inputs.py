"""Commands leave what they read as it is: an output that is an input, by whatever name, is refused."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from raygrad._errors import InputError


def refuse_replacing(inputs: Iterable[str | Path | None], outputs: Mapping[str, Path | None]) -> None:
    """Refuse outputs that would replace what is read, or one another.

    Args:
        inputs: files and folders that are read, and names that are neither; None for those that were not given.
        outputs: files to write, by the options that name them.

    Raises:
        InputError: an output is an input by another name or a link, is one of the files of a folder that is read, or
            is another output.
    """
    read = [Path(name).expanduser() for name in inputs if name is not None]
    seen: dict[str, Path] = {}
    for option, output in outputs.items():
        if output is None:
            continue
        output = output.expanduser()
        for path in read:
            if _is_same(output, path) or (path.is_dir() and output.exists() and _lies_in(output, path)):
                raise InputError(f"{option} '{output}' would replace what is read from '{path}'; name another file.")
        for other, taken in seen.items():
            if _is_same(output, taken):
                raise InputError(f"{option} and {other} both name '{output}'.")
        seen[option] = output


def refuse_replacing_in(inputs: Iterable[str | Path | None], folder: Path, names: Iterable[str]) -> None:
    """The same for a folder that files of these names are written into."""
    refuse_replacing(
        (path for path in inputs if path is not None and not Path(path).expanduser().is_dir()),
        {f"{name} of --output": folder / name for name in names},
    )


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one is not there
        return one.resolve() == other.resolve()


def _lies_in(path: Path, folder: Path) -> bool:
    return folder.resolve() in path.resolve().parents
