"""A reconstruction that is wanted no longer ends between two groups of views, and leaves what the callback saw."""

import pytest
import torch

from raygrad._processes import Processes
from raygrad.geometry import VolumeGeometry
from raygrad.geometry.trajectories import circular
from raygrad.projector import Projector
from raygrad.reconstruction import Interrupted, reconstruct

VIEWS = circular(12, sdd=600.0, sid=400.0, height=8, width=10, delx=4.0)
GRID = VolumeGeometry.centred((8, 8, 6), (3.0, 3.0, 3.0))
IMAGES = torch.rand(12, 8, 10, generator=torch.Generator().manual_seed(0))


class Asked:
    """Says yes when it is asked for the n-th time."""

    def __init__(self, at):
        self.at, self.times = at, 0

    def __call__(self):
        self.times += 1
        return self.times >= self.at


@pytest.mark.filterwarnings("ignore::raygrad.reconstruction.ReconstructionWarning")
@pytest.mark.parametrize("method", ["fdk", "sirt", "os_sart", "cgls", "osem", "tv", "adam"])
def test_it_ends_at_once(method):
    asked = Asked(1)
    with pytest.raises(Interrupted):
        reconstruct(IMAGES, VIEWS, GRID, method=method, interrupt=asked)
    assert asked.times == 1


def test_it_is_asked_before_every_group_of_views():
    asked = Asked(100)
    projector = Projector(GRID, VIEWS, rays_at_once=3 * 80, interrupt=asked)
    projector.T(projector(projector.zeros()))
    assert asked.times == 4 + 4
    projector[[0, 1]](projector.zeros())
    assert asked.times == 9


def test_nothing_else_changes():
    results = [
        reconstruct(IMAGES, VIEWS, GRID, method="os_sart", iterations=2, interrupt=ask).volume
        for ask in (None, Asked(1000))
    ]
    assert torch.equal(*results)


def test_processes_that_share_views_are_refused():
    two = Processes()
    two.count = 2
    with pytest.raises(ValueError, match="one process"):
        reconstruct(IMAGES, VIEWS, GRID, interrupt=lambda: False, processes=two)
