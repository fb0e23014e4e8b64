"""The competitors, raygrad first."""

from peers.base import OPERATIONS as OPERATIONS
from peers.base import Competitor as Competitor
from peers.base import TorchCompetitor as TorchCompetitor
from peers.diffct import DiffCT
from peers.diffdrr import DiffDRR
from peers.flashdrr import FlashDRR
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


def device_competitors() -> list[TorchCompetitor]:
    """Every projector that may run on a GPU; each still has to be told where, by `on`."""
    return [
        Raygrad("siddon"),
        Raygrad("joseph"),
        Raygrad("trilinear"),
        NanoDRR(),
        NanoDRR(compiled=True),
        DiffDRR("siddon"),
        DiffDRR("trilinear"),
        FlashDRR(),
        DiffCT(),
    ]
