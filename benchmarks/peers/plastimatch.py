"""plastimatch: https://plastimatch.org (BSD style), `plastimatch drr -i exact`, a program of its own."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from scene import CT, SDD, TRANSLATION, Scene

from peers.base import Competitor

CENTIMETRES = 10.0
"""Its line integrals count in centimetres."""


class Plastimatch(Competitor):
    """Its exact projector. The time is the one that the program reports, which leaves out reading the volume."""

    name = "plastimatch exact"
    method = "siddon"
    operations = ("forward",)

    def available(self) -> str | None:
        """Needs the program on the path, and SimpleITK to hand it the volume."""
        if shutil.which("plastimatch") is None:
            return "the program plastimatch is not on the path"
        try:
            import SimpleITK  # noqa: F401
        except ImportError:
            return "SimpleITK is not installed"
        return None

    def load(self, ct: CT) -> None:
        """Write the volume to a file, with its axes flipped to point along the world's."""
        import SimpleITK

        directions = np.round(ct.directions, 6)
        if not np.array_equal(np.abs(directions), np.eye(3)):
            raise ValueError(f"plastimatch's adapter expects voxel axes along the world's; got {directions.tolist()}")
        flips = np.diag(directions) < 0
        density = np.flip(ct.density, axis=tuple(np.flatnonzero(flips)))
        origin = ct.voxel_to_world[:3, 3] - flips * ct.spacing * (np.array(density.shape) - 1)
        image = SimpleITK.GetImageFromArray(density.transpose(2, 1, 0))
        image.SetSpacing(ct.spacing.tolist())
        image.SetOrigin(origin.tolist())
        self.folder = tempfile.TemporaryDirectory(prefix="plastimatch-")
        SimpleITK.WriteImage(image, f"{self.folder.name}/ct.mha")

    def aim(self, scene: Scene) -> None:
        """Keep the scene: the geometry goes on the command line."""
        self.scene = scene

    def timed(self, operation: str) -> float:
        """The seconds that the program reports, summed over the poses."""
        return sum(seconds for _, seconds in self._run())

    def forward(self) -> np.ndarray:
        """The images, one run of the program for each pose."""
        return np.stack([image for image, _ in self._run()])

    def _run(self) -> list[tuple[np.ndarray, float]]:
        axes = self.scene.camera_to_world()
        return [self._project(source, axis) for source, axis in zip(self.scene.source(), axes, strict=True)]

    def _project(self, source: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, float]:
        to_axis = TRANSLATION[1]
        size, width = self.scene.size, self.scene.size * self.scene.pixel
        options = {
            "-i": "exact",
            "-P": "none",
            "-t": "raw",
            "-r": f"{size} {size}",
            "-z": f"{width} {width}",
            "--sad": f"{to_axis}",
            "--sid": f"{SDD}",
            "--nrm": _text(-axes[:, 2]),
            "--vup": _text(axes[:, 1]),
            "-o": _text(source + to_axis * axes[:, 2]),
            "-O": f"{self.folder.name}/image",
        }
        arguments = [word for option in options.items() for word in option]
        done = subprocess.run(
            ["plastimatch", "drr", *arguments, f"{self.folder.name}/ct.mha"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        )
        reported = re.search(r"Total time: ([\d.]+)", done.stdout)
        if reported is None:
            raise RuntimeError(f"plastimatch reported no time: {done.stdout} {done.stderr}")
        image = np.fromfile(Path(self.folder.name) / "image0000.raw", np.float32).reshape(size, size)
        return image * CENTIMETRES, float(reported[1])


def _text(vector: np.ndarray) -> str:
    return " ".join(f"{value:.9f}" for value in vector)
