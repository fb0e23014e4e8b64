"""Text files of numbers: rows of them, remarks that begin with #, and `# name = value` in these."""

import codecs
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from raygrad._files import NAMES_AS_BYTES, written_whole

Rows = Sequence[Sequence[float]]

_REMARK = re.compile(r"#\s*(\w+)\s*[=:]\s*(\S+)\s*")


def text_of(path: Path) -> str | None:
    """What a text file says; None if its first bytes are not those of one."""
    with path.open("rb") as file:
        head = file.read(1024)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # large files of another kind are not read for nothing
        if b"\0" in head:
            return None
        return path.read_text(encoding="utf-8-sig")
    except ValueError:
        return None


def rows_of(text: str) -> list[list[float]] | None:
    """The rows of numbers, parted by spaces, commas or semicolons; None if there is anything else but remarks."""
    rows = []
    for line in text.splitlines():
        words = line.partition("#")[0].replace(",", " ").replace(";", " ").split()
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            return None
        if numbers:
            rows.append(numbers)
    return rows


def remarks_of(text: str) -> dict[str, str]:
    """The values of lines `# name = value` or `# name: value`."""
    found = (_REMARK.fullmatch(line.strip()) for line in text.splitlines())
    return {match[1]: match[2] for match in found if match is not None}


def write_rows(path: Path, rows: Rows, remarks: Mapping[str, float | int | str], note: str) -> None:
    """Write rows of numbers with all their digits, whole or not at all, below a note and the remarks."""
    lines = [f"# {note}", *(f"# {name} = {value}" for name, value in remarks.items())]
    lines += [" ".join(f"{number:.17g}" for number in row) for row in rows]
    with written_whole(path) as unfinished:
        unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8", errors=NAMES_AS_BYTES)
