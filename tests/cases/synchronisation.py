"""Finds what would make a GPU wait for Python, or Python for the GPU, without a GPU."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
READS_VALUES = {
    aten._local_scalar_dense,  # .item(), bool(tensor), float(tensor), `if tensor`
    aten.is_nonzero,
    aten.equal,
    aten.nonzero,
    aten.masked_select,
    aten._unique2,
    aten.unique_dim,
    aten.unique_consecutive,
    aten._linalg_check_errors,  # torch.linalg.inv, solve, cholesky: their _ex variants do not wait
}
COPIES_FROM_PYTHON = {aten.lift_fresh}  # torch.tensor([...], device=...), like.new_tensor(...)


class NoSynchronisation(TorchDispatchMode):
    """Within it, an operation whose result's shape or use depends on a tensor's values raises an AssertionError.

    On a GPU each would wait for all that was launched before, and none can be captured in a CUDA graph.

    Args:
        copies: also refuse new tensors made of Python numbers, which a CUDA graph cannot capture either.
    """

    def __init__(self, copies: bool = False) -> None:
        super().__init__()
        self.refused = READS_VALUES | (COPIES_FROM_PYTHON if copies else set())
        self.operations = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        packet = function.overloadpacket
        self.operations += 1
        assert packet not in self.refused, f"{packet} reads values: a GPU would be waited for"
        if packet in (aten.index, aten.index_put, aten.index_put_):
            masks = [i for i in args[1] if i is not None and i.dtype in (torch.bool, torch.uint8)]
            assert not masks, f"{packet} with a mask: a GPU would be waited for"
        if packet is aten.repeat_interleave and isinstance(args[0], torch.Tensor) and len(args) < 2:
            raise AssertionError("repeat_interleave by a tensor: a GPU would be waited for")
        return function(*args, **(kwargs or {}))
