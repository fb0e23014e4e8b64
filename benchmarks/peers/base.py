"""What the harness asks of every competitor."""

import time
from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any, Literal

import numpy as np
import torch
from scene import CT, Scene

OPERATIONS = ("forward", "pose", "volume")
"""Forward alone; forward and the gradient for the pose; forward and the gradient for the volume."""


class Competitor(ABC):
    """One projector of one package. `load` takes the CT, `aim` the poses; then the operations run at will."""

    name: str
    method: str
    """What the projector computes: gradients are compared between those with the same."""
    scene: Scene
    operations: tuple[str, ...] = OPERATIONS
    memory_order: Literal["C", "F"] = "C"
    """Memory order of the volume as the package's own reader gives it: "C" (z fastest) or "F" (x fastest)."""

    @abstractmethod
    def available(self) -> str | None:
        """None when it can run here, else the reason why not."""

    @abstractmethod
    def load(self, ct: CT) -> None:
        """Take the volume in, in the form the package wants. Not timed."""

    @abstractmethod
    def aim(self, scene: Scene) -> None:
        """Set detector and poses. Not timed."""

    @abstractmethod
    def forward(self) -> Any:
        """Make the images."""

    def pose(self) -> Any:
        """Make the images, and the gradient for the pose of their sum weighted by the scene's cotangent."""
        raise NotImplementedError(f"{self.name} has no pose gradient")

    def volume(self) -> Any:
        """Make the images, and the gradient for the volume of their sum weighted by the scene's cotangent."""
        raise NotImplementedError(f"{self.name} has no volume gradient")

    def timed(self, operation: str) -> float:
        """Run an operation once and return its seconds of wall time."""
        start = time.perf_counter()
        result = getattr(self, operation)()
        seconds = time.perf_counter() - start
        del result
        return seconds

    def images(self) -> np.ndarray:
        """The images (B, H, W) as value x mm, for the comparison between competitors."""
        return np.asarray(self.forward()).reshape(self.scene.batch, self.scene.size, self.scene.size)

    def gradient(self, operation: str) -> np.ndarray | None:
        """The gradient in the form all share ((B, 6): radians and mm, or (X, Y, Z)), or None if it has another form."""
        return None


class TorchCompetitor(Competitor):
    """A competitor whose images come out of PyTorch's autograd."""

    rotations: torch.Tensor
    translations: torch.Tensor
    density: torch.Tensor
    cotangent: torch.Tensor

    @abstractmethod
    def render(self) -> torch.Tensor:
        """The images (B, 1, H, W) from `rotations`, `translations` and `density`: the whole call a user makes."""

    def aim(self, scene: Scene) -> None:
        """Keep what autograd works on; subclasses build their detector after it."""
        self.scene = scene
        self.rotations = scene.rotations
        self.translations = scene.translations
        self.cotangent = torch.from_numpy(scene.cotangent())[:, None]

    def pose_inputs(self) -> tuple[torch.Tensor, ...]:
        """The tensors whose gradient `pose` asks for."""
        return self.rotations, self.translations

    def forward(self) -> torch.Tensor:
        """Make the images without recording them for autograd."""
        with torch.no_grad():
            return self.render()

    def pose(self) -> tuple[torch.Tensor, ...]:
        """Images, then the gradient for the pose."""
        return self._gradient(*self.pose_inputs())

    def volume(self) -> tuple[torch.Tensor, ...]:
        """Images, then the gradient for the volume."""
        return self._gradient(self.density)

    def _gradient(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        for tensor in inputs:
            tensor.requires_grad_(True)
        try:
            image = self.render()
            return torch.autograd.grad(image, inputs, self.cotangent.reshape(image.shape))
        finally:
            for tensor in inputs:
                tensor.requires_grad_(False)

    def gradient(self, operation: str) -> np.ndarray | None:
        """Pose gradients (B, 6) of Euler angles and translation; volume gradients (X, Y, Z)."""
        if operation == "pose":
            return torch.cat(self.pose(), dim=-1).numpy()
        return self.volume()[0].squeeze().numpy()


def missing(*modules: str) -> str | None:
    """Why the first of `modules` that does not import cannot be imported, or None when all can."""
    for module in modules:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            return f"{error.name} is not installed"
        except Exception as error:  # a peer may fail in its own ways: the benchmark goes on without it
            return f"importing {module} failed: {type(error).__name__}: {error}"
    return None
