"""Bodies made coarser: means of blocks, of one volume and of those of several materials, in any memory order."""

import pytest
import torch

from raygrad.march import Prepared
from raygrad.scene._pyramid import reduce_body


@pytest.mark.parametrize("x_fastest", [False, True])
@pytest.mark.parametrize("materials", [(), (3,)])
def test_blocks_become_their_means(materials, x_fastest):
    values = torch.rand(*materials, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    if x_fastest:
        values = values.transpose(-3, -1).contiguous().transpose(-3, -1)
    coarse = reduce_body(Prepared.of(values, torch.eye(4, dtype=torch.float64)), (1, 2, 3))
    expected = values.unflatten(-1, (2, 3)).mean(-1).unflatten(-2, (3, 2)).mean(-2)
    torch.testing.assert_close(coarse.values, expected)
    middle = coarse.world_to_voxel @ torch.tensor([0.0, 0.5, 1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(middle, torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64))
