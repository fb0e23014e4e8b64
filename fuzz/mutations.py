"""Damage to files: what broken disks, broken programs and bad people make of them.

Half of it knows what a file is made of: numbers of text headers, elements of DICOM, entries of JSON and XML. The other
half does not: flipped bits, cuts, blocks that are lost, doubled or from elsewhere.
"""

import json
import random
import re
from collections.abc import Callable

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO

Damage = Callable[[bytes, random.Random], bytes]

EXTREMES = (
    "0", "-1", "1", "-0.0", "2147483647", "2147483648", "-2147483649", "4294967296", "9223372036854775807", "1e308",
    "-1e308", "1e-308", "nan", "inf", "-inf", "1e400", "", " ", "%s%n%x", "../../../etc/passwd", "/dev/zero", "0x10",
    "1,5", "a" * 5000, "1 " * 3000, "\u0663", "3.999999999", "65535", "65536", "255", "256", "16", "1e5", "100000",
)  # fmt: skip
_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_]{3,}")
HEAD = 4096
"""Bytes at the beginning in which headers of text are looked for."""


def flip(content: bytes, draw: random.Random) -> bytes:
    """Some bits, anywhere."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 3, 20))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def flip_in_head(content: bytes, draw: random.Random) -> bytes:
    """A byte of the first hundreds, to any value."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 4))):
        changed[draw.randrange(min(len(changed), draw.choice((16, 64, 400))))] = draw.choice((0, 1, 127, 128, 255, 32))
    return bytes(changed)


def cut(content: bytes, draw: random.Random) -> bytes:
    """The end is lost."""
    return content[: draw.choice((0, 1, draw.randrange(len(content)), len(content) - 1))]


def grow(content: bytes, draw: random.Random) -> bytes:
    """Something follows."""
    return content + draw.choice((b"\0", b"\n", content, bytes(1000), draw.randbytes(50)))


def lose(content: bytes, draw: random.Random) -> bytes:
    """A block in the middle is lost."""
    start = draw.randrange(len(content))
    return content[:start] + content[start + draw.choice((1, 4, 64, 512)) :]


def repeat(content: bytes, draw: random.Random) -> bytes:
    """A block is there twice, or very often."""
    start, length = draw.randrange(len(content)), draw.choice((1, 8, 100))
    block = content[start : start + length]
    return content[:start] + block * draw.choice((2, 2, 50, 2000)) + content[start:]


def overwrite(content: bytes, draw: random.Random) -> bytes:
    """A block is zeros, ones, noise, or another block."""
    start, length = draw.randrange(len(content)), draw.choice((2, 4, 8, 512))
    block = draw.choice((bytes(length), b"\xff" * length, draw.randbytes(length), content[:length]))
    return content[:start] + block + content[start + length :]


def change_number(content: bytes, draw: random.Random) -> bytes:
    """A number that is written as text."""
    found = list(_NUMBER.finditer(content[:HEAD]))
    if not found:
        return flip_in_head(content, draw)
    one = draw.choice(found)
    return content[: one.start()] + draw.choice(EXTREMES).encode() + content[one.end() :]


def change_word(content: bytes, draw: random.Random) -> bytes:
    """A word of text: another one of the file, longer, or gone."""
    found = list(_WORD.finditer(content[:HEAD]))
    if len(found) < 2:
        return flip_in_head(content, draw)
    one, other = draw.sample(found, 2)
    new = draw.choice((other[0], b"", one[0] * 30, one[0].swapcase(), draw.choice(EXTREMES).encode()))
    return content[: one.start()] + new + content[one.end() :]


def change_line(content: bytes, draw: random.Random) -> bytes:
    """A line of text: lost, doubled, moved, or repeated without end."""
    head, rest = content[:HEAD], content[HEAD:]
    lines = head.split(b"\n")
    if len(lines) < 3:
        return flip_in_head(content, draw)
    number = draw.randrange(len(lines) - 1)
    line = lines.pop(number)
    times = draw.choice((0, 2, 2, 2000))
    place = draw.choice((number, draw.randrange(len(lines))))
    lines[place:place] = [line] * times
    return b"\n".join(lines) + rest


def change_tree(content: bytes, draw: random.Random) -> bytes:
    """An entry of JSON: another value, another kind, or gone."""
    try:
        tree = json.loads(content)
    except ValueError:
        return change_number(content, draw)
    places = list(_places(tree))
    if not places:
        return change_number(content, draw)
    parent, key = draw.choice(places)
    values = (
        None,
        True,
        "",
        [],
        {},
        0,
        -1,
        1e308,
        float("nan"),
        "x" * 1000,
        [[[[]]]],
        2**70,
        parent[key],
        [parent[key]],
    )
    if draw.random() < 0.2:
        del parent[key]
    else:
        parent[key] = draw.choice(values)
    return json.dumps(tree).encode()


def _places(tree: object) -> list[tuple[dict | list, str | int]]:
    if isinstance(tree, dict):
        own: list[tuple[dict | list, str | int]] = [(tree, key) for key in tree]
    elif isinstance(tree, list):
        own = [(tree, number) for number in range(len(tree))]
    else:
        return []
    return own + [place for _, key in own for place in _places(tree[key])]  # type: ignore[index]


def change_element(content: bytes, draw: random.Random) -> bytes:
    """An element of DICOM: another value, gone, or an item of a sequence more or less."""
    try:
        dataset = dcmread(DicomBytesIO(content), force=True)
        elements = [(owner, element) for owner in _datasets(dataset) for element in owner]
        owner, element = draw.choice(elements)
        if draw.random() < 0.25:
            del owner[element.tag]
        elif element.VR == "SQ":
            element.value = draw.choice(([], list(element.value) * 2, [Dataset()]))
        elif element.VR in ("US", "SS", "UL", "SL"):
            element.value = draw.choice((0, 1, 7, 255, 65535, 32767))
        elif element.VR in ("DS", "IS"):
            element.value = draw.choice(("0", "-1", "1", "1e10", "99999", "-0.5", "", ["1", "2", "3", "4"]))
        elif element.VR in ("FL", "FD"):
            element.value = draw.choice((0.0, -1.0, float("nan"), float("inf"), 1e308, [1.0, 2.0, 3.0]))
        elif element.VR in ("OB", "OW"):
            element.value = element.value[: draw.choice((0, 2, len(element.value) // 2 * 2 - 2))]
        else:
            element.value = draw.choice(("", "1.2.840.10008.1.2.5", "MONOCHROME1", "PALETTE COLOR", "9" * 60, "LIN"))
        out = DicomBytesIO()
        dataset.save_as(out)
        return out.getvalue()
    except Exception:  # pydicom refuses to write some of it
        return flip(content, draw)


def _datasets(dataset: Dataset) -> list[Dataset]:
    found = [dataset]
    for element in dataset:
        if element.VR == "SQ":
            found += [inner for item in element.value for inner in _datasets(item)]
    return found


BLIND: tuple[Damage, ...] = (flip, flip, flip_in_head, cut, grow, lose, repeat, overwrite)
KNOWING: tuple[Damage, ...] = (change_number, change_number, change_word, change_line)


def damages_of(content: bytes, name: str) -> tuple[Damage, ...]:
    """What may be done to a file."""
    more: tuple[Damage, ...] = KNOWING
    if name.endswith(".json"):
        more = (*KNOWING, change_tree, change_tree)
    if content[128:132] == b"DICM":
        more = (change_element,) * 8
    return (*BLIND, *more)
