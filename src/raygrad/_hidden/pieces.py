"""The connected pieces of a region."""

import numpy as np
from jaxtyping import Bool, Int

Region = Bool[np.ndarray, "height width"]


def label(region: Region, diagonals: bool = False) -> Int[np.ndarray, "height width"]:
    """The connected pieces of a region as numbers from 1, and 0 elsewhere.

    Runs of pixels along rows are joined where they touch: each piece takes the least number of its runs, which spreads
    along the touching pairs and by pointer jumping (Shiloach and Vishkin, J. Algorithms 3, 1982).

    Args:
        region: of an image.
        diagonals: pixels that meet at a corner touch.
    """
    height, width = region.shape
    padded = np.zeros((height, width + 2), np.int8)
    padded[:, 1:-1] = region
    change = np.diff(padded, axis=1).ravel()  # width + 1 places in each row
    begins, ends = np.flatnonzero(change > 0), np.flatnonzero(change < 0)  # of every run, the end exclusive
    if not len(begins):
        return np.zeros(region.shape, np.int64)
    # In the row below, the runs that touch are neighbours: from the first that does not end before to the last that
    # does not begin after.
    reach = int(diagonals)
    first = np.searchsorted(ends, begins + width + 1 - reach, side="right")
    last = np.searchsorted(begins, ends + width + 1 + reach, side="left")
    counts = np.maximum(last - first, 0)
    above = np.repeat(np.arange(len(begins)), counts)
    below = np.repeat(first - np.concatenate([[0], counts.cumsum()[:-1]]), counts) + np.arange(counts.sum())
    root = np.arange(len(begins))
    while True:
        before = root.copy()
        least = np.minimum(root[above], root[below])
        np.minimum.at(root, root[above], least)
        np.minimum.at(root, root[below], least)
        while (root[root] != root).any():
            root = root[root]
        if np.array_equal(root, before):
            break
    _, numbers = np.unique(root, return_inverse=True)
    marks = np.zeros(height * (width + 1) + 1, np.int64)
    marks[begins] += numbers + 1
    np.subtract.at(marks, ends, numbers + 1)
    return marks.cumsum()[:-1].reshape(height, width + 1)[:, :width]
