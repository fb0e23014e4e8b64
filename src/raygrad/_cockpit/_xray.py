"""One X-ray that is open, as it came."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from raygrad.formats import View, XRayGeometry


@dataclass(frozen=True, eq=False)
class OpenXRay:
    """An X-ray, what its pixels say, and where it was taken from as far as that was known when it was opened.

    Attributes:
        name: of its file, for people.
        image: line integrals, on the view's detector.
        view: where it was taken from, roughly, and with what.
        mask: weights of its pixels, None if all count.
        header: of DICOM, what it says of the geometry.
        hidden: what of it was found not to count, in words.
        taken_for: what its numbers were taken to be, where nobody said so.
        path: its file, None if it was made here.
        frame: which image of the file: its number from 1, "mean" or "least-dense".
        values: what its numbers were said to be.
        made: of one that was made here, from where and with which seed of noise.
    """

    name: str
    image: Float[Tensor, "1 1 height width"]
    view: View
    mask: Float[Tensor, "height width"] | None = None
    header: XRayGeometry | None = None
    hidden: str = ""
    taken_for: str | None = None
    path: Path | None = None
    frame: int | str | None = None
    values: str | None = None
    made: tuple[View, int] | None = None
