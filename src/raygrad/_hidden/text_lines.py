"""Lines of text in an X-ray, burned in before it was compressed: JPEG's ripples leave no pixel at the end of the range.

A character is a small piece near an end of the range with edges a pixel or two wide all around, and text is several of
the same height side by side. One such piece alone may be a marker, an implant or a clip.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from raygrad._hidden.pieces import label

Region = Bool[np.ndarray, "height width"]
Numbers = Float[np.ndarray, "height width"]
Boxes = Int[np.ndarray, "piece 4"]

_NEAR = (0.12, 0.25)  # of the range: how far ripples, and the middle of thin strokes, are from its end
_SHARP = 0.25  # over two pixels, of the range
_ALL_AROUND = 0.85  # of the rim
_LEAST_HEIGHT, _GREATEST_HEIGHT = 6, 0.08  # pixels; of the image's longer side
_LONGEST = 0.2  # of that side: strokes that run into each other
_CHARACTERS = 3  # are a line
_SAME = 0.2  # heights, and places along the line's other direction, differ by less, of the height
_APART = 2.5  # at most, in heights


def find_text_lines(pixels: Numbers, shown: Region) -> Region:
    """The pixels of characters that stand in lines, without their blur.

    Args:
        pixels: as the file has them.
        shown: where to look.
    """
    found = np.zeros_like(shown)
    low, high = float(pixels[shown].min()), float(pixels[shown].max())
    for sign, end in ((1, low), (-1, high)):
        away = sign * (pixels - end) / (high - low)
        for near in _NEAR:
            pieces = label(shown & (away <= near), True)
            boxes = _boxes(pieces)
            for line in _lines(boxes, _characters(pieces, boxes, away)):
                top, left = boxes[line, :2].min(axis=0)
                bottom, right = boxes[line, 2:].max(axis=0)
                # With dots, and characters that touch each other.
                height = bottom - top + 1
                around = np.array(
                    [top - 0.3 * height, left - 1.5 * height, bottom + 0.3 * height, right + 1.5 * height]
                )
                within = np.concatenate([boxes[:, :2] >= around[:2], boxes[:, 2:] <= around[2:]], axis=1)
                whole = np.array(within.all(axis=1))
                whole[0] = False
                found |= whole[pieces]
    return found & shown


def _boxes(pieces: np.ndarray) -> Boxes:
    """First row and column, last row and column of every piece; of number 0 those of nothing."""
    count = int(pieces.max())
    places = np.argwhere(pieces)
    numbers = pieces[pieces > 0]
    boxes = np.full((count + 1, 4), -1)
    boxes[:, :2] = max(pieces.shape)
    for axis in (0, 1):
        np.minimum.at(boxes[:, axis], numbers, places[:, axis])
        np.maximum.at(boxes[:, 2 + axis], numbers, places[:, axis])
    return boxes


def _characters(pieces: np.ndarray, boxes: Boxes, away: Numbers) -> list[int]:
    """The pieces that may be characters, from left to right."""
    size, longer = np.array(pieces.shape), max(pieces.shape)
    height, width = (boxes[:, 2:] - boxes[:, :2] + 1).T
    fits = (height >= _LEAST_HEIGHT) & (height <= max(12, _GREATEST_HEIGHT * longer)) & (width <= _LONGEST * longer)
    fits &= (boxes[:, :2] > 1).all(axis=1) & (boxes[:, 2:] < size - 2).all(axis=1)
    found = []
    for number in np.flatnonzero(fits):
        top, left, bottom, right = boxes[number]
        window = (slice(top - 2, bottom + 3), slice(left - 2, right + 3))
        if _is_sharp(pieces[window] == number, away[window]):
            found.append(int(number))
    return sorted(found, key=lambda number: boxes[number, 1])


def _is_sharp(piece: Region, away: Numbers) -> bool:
    """Whether nearly all of a piece's rim steps up within two pixels outwards."""
    padded = np.pad(away, 2)
    inner = np.pad(piece, 2)
    rim = steps = 0
    for axis in (0, 1):
        for step in (1, -1):
            at_rim = inner & ~np.roll(inner, -step, axis)
            beyond = np.maximum(np.roll(padded, -step, axis), np.roll(padded, -2 * step, axis))
            within = np.minimum(padded, np.roll(padded, step, axis))
            rim += at_rim.sum()
            steps += (at_rim & (beyond - within > _SHARP)).sum()
    return bool(steps > _ALL_AROUND * rim)


def _lines(boxes: Boxes, characters: list[int]) -> list[list[int]]:
    """Characters of one height side by side, at least three in a row."""
    lines = []
    for start in characters:
        line = [start]
        for other in characters:
            top, _, bottom, right = boxes[line[-1]]
            up, left, down, _ = boxes[other]
            height = bottom - top + 1
            same = max(abs(up - top), abs(down - bottom)) <= max(1.0, _SAME * height)
            if same and right < left <= right + _APART * height:
                line.append(other)
        if len(line) >= _CHARACTERS:
            lines.append(line)
    return lines
