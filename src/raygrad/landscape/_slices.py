"""The loss along one parameter of a pose, or over two."""

from dataclasses import dataclass

import numpy as np

from raygrad.landscape._parameters import SYMBOLS


@dataclass(frozen=True)
class Slice:
    """The loss while one or two parameters of a pose move and the others stay at the truth.

    Attributes:
        names: of the parameters that move.
        units: of their deviations: "mm", "rad", "degrees" or "".
        deviations: from the truth, for each parameter an increasing array.
        loss: an axis for each parameter; NaN where the metric gave none.

    Raises:
        ValueError: more than two parameters, or not everything for each of them.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    deviations: tuple[np.ndarray, ...]
    loss: np.ndarray

    def __post_init__(self) -> None:
        shape = tuple(len(values) for values in self.deviations)
        if len(self.names) not in (1, 2) or not len(self.names) == len(self.units) == len(shape) == self.loss.ndim:
            raise ValueError(
                f"Expected names, units, deviations and an axis of the loss for one or two parameters. "
                f"Got {len(self.names)}, {len(self.units)}, {len(shape)} and {self.loss.ndim}."
            )
        if self.loss.shape != shape:
            raise ValueError(f"Expected a loss of shape {shape}, as the deviations are. Got {self.loss.shape}.")

    @property
    def labels(self) -> tuple[str, ...]:
        """What to write at the axes of a plot, such as "Δα (degrees)"."""
        return tuple(
            f"Δ{SYMBOLS.get(name, name)} ({unit})" if unit else f"Δ{SYMBOLS.get(name, name)}"
            for name, unit in zip(self.names, self.units, strict=True)
        )

    def profile(self, name: str) -> "Slice":
        """The loss along one parameter, on the line of the grid that passes nearest to the truth.

        Raises:
            ValueError: this slice has no such parameter.
        """
        if name not in self.names:
            raise ValueError(f"Expected a parameter among {', '.join(self.names)}. Got {name!r}.")
        axis = self.names.index(name)
        line = tuple(
            slice(None) if i == axis else int(np.abs(values).argmin()) for i, values in enumerate(self.deviations)
        )
        return Slice((name,), (self.units[axis],), (self.deviations[axis],), self.loss[line])
