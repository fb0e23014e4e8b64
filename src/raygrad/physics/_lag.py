"""Lag: charge that is trapped in a detector and read with later frames.

J. H. Siewerdsen and D. A. Jaffray, "Cone-beam computed tomography with a flat-panel imager: effects of image lag",
Medical Physics 26 (1999) 2635; as several exponentials: J. Hsieh, O. E. Gurmen and K. F. King, "Recursive correction
algorithm for detector decay characteristics in CT", Proc. SPIE 3977 (2000) 298.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raygrad.physics._numbers import Number, Signal, check_choice, check_images, check_number, tensor_of

BEFORE = ("steady", "dark")


@dataclass(frozen=True)
class Lag:
    """Frames that hold a share of those before them. The first axis of images, their views, is time.

    A share s of the signal is trapped for a while: after t frames exp(-t / frames) of it are still there. What is
    trapped is read in the end: a constant exposure is measured as it is, and after a step from dark to 1 the
    t-th frame (from 0) reads 1 - sum of shares x exp(-(t + 1) / frames).

    Attributes:
        shares: of the signal that is trapped, for each kind of trap; together less than 1. Tensors carry gradients.
        frames: how long each keeps it, as a number of frames, above 0.
        before: what came before the first frame: "steady", that frame for a long time; or "dark".

    Raises:
        ValueError: numbers beyond these bounds, or not as many of one as of the other.
    """

    shares: Sequence[Number] = (0.02, 0.01)
    frames: Sequence[Number] = (2.0, 20.0)
    before: str = "steady"

    def __post_init__(self) -> None:
        for name in ("shares", "frames"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.shares or len(self.shares) != len(self.frames):
            raise ValueError(
                f"Expected as many frames as shares, one at least. Got {len(self.frames)} and {len(self.shares)}."
            )
        for share in self.shares:
            check_number("each of shares", share, least=0, below=1)
        for frames in self.frames:
            check_number("each of frames", frames, above=0)
        together = math.fsum(float(tensor_of(share, torch.empty(())).detach()) for share in self.shares)
        if not together < 1:
            raise ValueError(f"Expected shares that are less than 1 together. Got {together:g}.")
        check_choice("before", self.before, BEFORE)

    def __call__(self, images: Signal) -> Signal:
        """What is read, frame by frame.

        Args:
            images: (view, channel, height, width), in the order in which they are taken.

        Raises:
            TypeError, ValueError: images that are none.
        """
        check_images(images)
        shares = [tensor_of(share, images).to(images.dtype) for share in self.shares]
        kept = [torch.exp(-1 / tensor_of(frames, images)).to(images.dtype) for frames in self.frames]
        before = images[0] if self.before == "steady" else torch.zeros_like(images[0])
        trapped: list[Tensor] = [before] * len(shares)
        read = []
        for image in images:
            trapped = [image + keep * (held - image) for keep, held in zip(kept, trapped, strict=True)]
            late = sum((share * (held - image) for share, held in zip(shares, trapped, strict=True)), start=image)
            read.append(late)
        return torch.stack(read)
