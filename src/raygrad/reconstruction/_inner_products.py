"""Inner products of volumes and images with more terms than float32 can add up."""

import torch
from torch import Tensor

TERMS = 1 << 16  # of one sum in the tensors' own precision


def inner_product(first: Tensor, second: Tensor) -> Tensor:
    """<first, second> as a float64 tensor without axes, for two tensors of one shape and memory order.

    float32 alone loses three digits over the voxels of a large volume: every 2^16 terms or so are added in the tensors'
    own precision, and these sums in float64. No copy is made.
    """
    order = sorted(range(first.ndim), key=first.stride, reverse=True)
    pairs = [tensor.permute(order).reshape(-1) for tensor in (first, second)]
    terms = max(TERMS, first.numel() // 1024)
    parts = [torch.dot(*pair) for pair in zip(*(flat.split(terms) for flat in pairs), strict=True)]
    return torch.stack(parts).double().sum()
