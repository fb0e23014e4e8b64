"""What `same_bits.py` computes: parts, each with its own phantom, fixed seeds and a few seconds of work.

A part is a generator of names and values: tensors, poses, numbers, texts, and dictionaries or lists of them. Nothing
that depends on the clock is among them. Names that moved stand in `names.py`, and nowhere else.
"""

from same_bits_parts import drr, geometry, kernels, reconstruction, registration  # noqa: F401
from same_bits_parts.names import Names as Names
from same_bits_parts.names import find as find
from same_bits_parts.parts import PARTS as PARTS
