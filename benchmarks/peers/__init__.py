"""The competitors, raygrad first."""

from peers.base import OPERATIONS as OPERATIONS
from peers.base import Competitor as Competitor
from peers.diffct import DiffCT
from peers.diffdrr import DiffDRR
from peers.nanodrr import NanoDRR
from peers.plastimatch import Plastimatch
from peers.raygrad import Raygrad
from peers.rtk import RTKJoseph


def competitors() -> list[Competitor]:
    """Every projector there is an adapter for, whether it is installed or not."""
    return [
        Raygrad("siddon"),
        Raygrad("joseph"),
        Raygrad("trilinear"),
        DiffDRR("siddon"),
        DiffDRR("trilinear"),
        NanoDRR(),
        DiffCT(),
        RTKJoseph(),
        Plastimatch(),
    ]
