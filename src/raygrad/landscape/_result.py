"""A whole landscape: its slices, their measures in words, and its files."""

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raygrad._errors import InputError
from raygrad._files import load_arrays, written_whole
from raygrad.landscape._measures import Measures, measure_slice
from raygrad.landscape._parameters import SYMBOLS, PoseParameters
from raygrad.landscape._slices import Slice
from raygrad.pose import find_parameterization

_RISE = 0.01


@dataclass(frozen=True)
class Landscape:
    """Slices through the loss around one pose, the truth.

    Attributes:
        slices: in the order in which they were asked for.
        truth: the pose about which parameters moved.
        loss_at_truth: the loss of that pose itself.
        metric: the name of the similarity whose negative is the loss.
    """

    slices: tuple[Slice, ...]
    truth: PoseParameters
    loss_at_truth: float
    metric: str

    def __getitem__(self, names: str | tuple[str, ...]) -> Slice:
        """The slice over these parameters: `landscape["x"]`, `landscape["x", "y"]`; KeyError if there is none."""
        wanted = (names,) if isinstance(names, str) else tuple(names)
        for piece in self.slices:
            if piece.names == wanted:
                return piece
        raise KeyError(f"no slice over {', '.join(wanted)}")

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that move in any slice, in the order of the parameterization."""
        return tuple(name for name in self.truth.names if any(name in piece.names for piece in self.slices))

    def profile(self, name: str) -> Slice:
        """The loss along one parameter through the truth: a slice of its own, or a line of the first that has it.

        Raises:
            ValueError: the parameter moves in no slice.
        """
        for piece in sorted(self.slices, key=lambda piece: len(piece.names)):
            if name in piece.names:
                return piece.profile(name)
        raise ValueError(f"Expected a parameter among {', '.join(self.names)}. Got {name!r}.")

    def curvature(self, name: str) -> float:
        """The second derivative of the loss along one parameter at the truth, per mm^2, degree^2 or 1.

        It is that of the quadratic which fits best within two steps; NaN with fewer than three values.
        """
        profile = self.profile(name)
        curvature = float(measure_slice(profile).hessian[0, 0])
        return curvature * (np.pi / 180) ** 2 if profile.units[0] == "rad" else curvature

    def flattest(self, unit: str = "mm") -> str | None:
        """The parameter of this unit ("mm", "degrees", "rad" or "") with the least curvature; None if there is none."""
        curvatures = {name: self.curvature(name) for name in self.names if self.truth.unit(name) == unit}
        known = {name: curvature for name, curvature in curvatures.items() if not np.isnan(curvature)}
        return min(known, key=known.__getitem__) if known else None

    def summary(self) -> str:
        """The measures of all parameters and slices as text, a table each."""
        images = sum(piece.loss.size for piece in self.slices)
        parts = [f"{images} images, loss {self.loss_at_truth:.4f} at the true pose (minus {self.metric})"]
        parts.append(_table([_PARAMETER_HEAD, *(self._describe_parameter(name) for name in self.names)]))
        parts += [f"flattest in {unit or 'numbers'}: {text}" for unit, text in self._describe_flattest()]
        pairs = [piece for piece in self.slices if len(piece.names) == 2]
        if pairs:
            parts.append(_table([_PAIR_HEAD, *(_describe_pair(piece, measure_slice(piece)) for piece in pairs)]))
        return "\n\n".join(parts)

    def _describe_parameter(self, name: str) -> list[str]:
        profile = self.profile(name)
        measures = measure_slice(profile)
        curvature, unit = self.curvature(name), profile.units[0]
        per = "degrees" if unit == "rad" else unit
        lowest = measures.minimum[0] if np.isnan(measures.vertex[0]) else measures.vertex[0]
        return [
            f"{SYMBOLS.get(name, name)} ({unit})" if unit else name,
            f"{lowest:.2g}",
            f"{curvature:.2g} / {per.removesuffix('s')}²" if per else f"{curvature:.2g}",
            f"{np.sqrt(2 * _RISE / curvature):.2g} {per}" if curvature > 0 else "-",
            str(measures.convex[0]),
            str(measures.basin[0]),
        ]

    def _describe_flattest(self) -> Iterator[tuple[str, str]]:
        for unit in dict.fromkeys(self.truth.unit(name) for name in self.names):
            curvatures = {name: self.curvature(name) for name in self.names if self.truth.unit(name) == unit}
            ranked = sorted((value, name) for name, value in curvatures.items() if not np.isnan(value))
            if len(ranked) > 1:
                (least, name), (next_to_it, _) = ranked[:2]
                times = f"{next_to_it / least:.3g} times flatter than the next" if least > 0 else "not convex there"
                yield unit, f"{SYMBOLS.get(name, name)}, {times}"

    def save(self, path: str | os.PathLike) -> None:
        """Write the landscape, the whole file or none.

        .npz holds everything, for `load`; .csv has a row for each image: its slice, both parameters' names, units
        and deviations (the second empty in a profile), and the loss; .txt is the summary.

        Raises:
            ValueError: another suffix.
            OSError: the file cannot be written.
        """
        target = Path(path)
        writers = {".npz": self._write_npz, ".csv": self._write_csv, ".txt": self._write_txt}
        if target.suffix.lower() not in writers:
            raise ValueError(f"Expected a file name ending in {', '.join(writers)}. Got '{target}'.")
        with written_whole(target) as unfinished:
            writers[target.suffix.lower()](unfinished)

    def _write_txt(self, path: Path) -> None:
        path.write_text(self.summary() + "\n", encoding="utf-8")

    def _write_npz(self, path: Path) -> None:
        about = {
            "parameterization": self.truth.parameterization,
            "convention": self.truth.convention,
            "degrees": self.truth.degrees,
            "metric": self.metric,
            "slices": [{"names": piece.names, "units": piece.units} for piece in self.slices],
        }
        arrays: dict[str, Any] = {"truth": self.truth.values.numpy(), "loss_at_truth": np.array(self.loss_at_truth)}
        arrays["about"] = np.array(json.dumps(about))
        for piece in self.slices:
            key = "_".join(piece.names)
            arrays[f"{key}/loss"] = piece.loss
            arrays |= {f"{key}/{name}": values for name, values in zip(piece.names, piece.deviations, strict=True)}
        np.savez_compressed(path, **arrays)

    def _write_csv(self, path: Path) -> None:
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            head = ["name", "unit", "deviation"]
            writer.writerow(["slice", *(f"{word}_{i}" for i in (1, 2) for word in head), "loss"])
            for number, piece in enumerate(self.slices):
                for index, loss in np.ndenumerate(piece.loss):
                    row: list[str | int] = [number]
                    for name, unit, values, i in zip(piece.names, piece.units, piece.deviations, index, strict=True):
                        row += [name, unit, f"{values[i]:.9g}"]
                    writer.writerow([*row, *[""] * (7 - len(row)), f"{loss:.9g}"])

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Landscape":
        """Read what `save` wrote as .npz.

        Raises:
            InputError: the file holds no landscape, or is damaged.
            FileNotFoundError: there is no such file.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"There is no landscape '{path}'.")
        file = load_arrays(Path(path), "")
        try:
            about = json.loads(str(file["about"]))
            slices = []
            for piece in about["slices"]:
                names, key = tuple(piece["names"]), "_".join(piece["names"])
                deviations = tuple(file[f"{key}/{name}"] for name in names)
                slices.append(Slice(names, tuple(piece["units"]), deviations, file[f"{key}/loss"]))
            kind = about["parameterization"]
            degrees = about["degrees"] and find_parameterization(kind).has_angles  # the command wrote it of all
            truth = PoseParameters(torch.from_numpy(file["truth"]), kind, about["convention"], degrees)
            return cls(tuple(slices), truth, float(file["loss_at_truth"]), about["metric"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"Expected a landscape saved as .npz. Got '{path}', which lacks {error}.") from error


_PARAMETER_HEAD = ["parameter", "minimum at", "curvature", f"loss + {_RISE} at", "convex", "falls to the minimum"]
_PAIR_HEAD = ["slice", "least loss", "at", "convex at the truth", "convex share", "descent arrives from"]


def _describe_pair(piece: Slice, measures: Measures) -> list[str]:
    at = ", ".join(f"{value:.3g} {unit}" for value, unit in zip(measures.minimum, piece.units, strict=True))
    return [
        ", ".join(SYMBOLS.get(name, name) for name in piece.names),
        f"{measures.least:.4f}",
        at,
        "yes" if measures.is_convex else "no",
        f"{100 * measures.convex_share:.0f} %",
        f"{100 * measures.basin_share:.0f} %",
    ]


def _table(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
