"""What the harness asks of every competitor."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

import numpy as np
import torch
from scene import CT, Scene
from typing_extensions import Self

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
    """A competitor whose images come out of PyTorch's autograd; on the CPU in float32, unless `on` says otherwise."""

    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32
    dtypes: tuple[torch.dtype, ...] = (torch.float32,)
    """What the volume may be stored in; geometry is float32 always."""
    capturable: bool = False
    """Whether `project` and its gradient can be captured in a CUDA graph."""
    rotations: torch.Tensor
    translations: torch.Tensor
    density: torch.Tensor
    cotangent: torch.Tensor

    def on(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Set where and in what precision to work, before `load`."""
        self.device, self.dtype = device, dtype
        return self

    def declines(self, scene: Scene) -> str | None:
        """Why this competitor sits out a scene that it could run, or None."""
        return None

    @abstractmethod
    def cameras(self) -> tuple[torch.Tensor, ...]:
        """The cameras as the package takes them, made from `rotations` and `translations`."""

    @abstractmethod
    def project(self, *cameras: torch.Tensor) -> torch.Tensor:
        """The images (B, 1, H, W) of `density` that these cameras see."""

    def render(self) -> torch.Tensor:
        """The images from `rotations`, `translations` and `density`: the whole call a user makes."""
        return self.project(*self.cameras())

    def aim(self, scene: Scene) -> None:
        """Keep what autograd works on; subclasses build their detector after it."""
        self.scene = scene
        self.rotations = scene.rotations.to(self.device)
        self.translations = scene.translations.to(self.device)
        self.cotangent = torch.from_numpy(scene.cotangent())[:, None].to(self.device)

    def pose_inputs(self) -> tuple[torch.Tensor, ...]:
        """The tensors whose gradient `pose` asks for."""
        return self.rotations, self.translations

    def forward(self) -> torch.Tensor:
        """Make the images without recording them for autograd."""
        with torch.no_grad():
            return self.render()

    def pose(self) -> tuple[torch.Tensor, ...]:
        """Images, then the gradient for the pose."""
        return self._gradient(self.render, self.pose_inputs())

    def volume(self) -> tuple[torch.Tensor, ...]:
        """Images, then the gradient for the volume."""
        return self._gradient(self.render, (self.density,))

    def ready(self, operation: str) -> Callable[[], Any]:
        """An operation from cameras that are there already; its pose gradient is that of the cameras."""
        cameras = tuple(camera.detach().clone() for camera in self.cameras())

        def forward() -> torch.Tensor:
            with torch.no_grad():
                return self.project(*cameras)

        def gradient() -> tuple[torch.Tensor, ...]:
            return self._gradient(lambda: self.project(*cameras), cameras if operation == "pose" else (self.density,))

        return forward if operation == "forward" else gradient

    def _gradient(
        self, render: Callable[[], torch.Tensor], inputs: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...]:
        for tensor in inputs:
            tensor.requires_grad_(True)
        try:
            image = render()
            if self.cotangent.dtype != image.dtype:
                self.cotangent = self.cotangent.to(image.dtype)
            return torch.autograd.grad(image, inputs, self.cotangent.reshape(image.shape))
        finally:
            for tensor in inputs:
                tensor.requires_grad_(False)

    def images(self) -> np.ndarray:
        """The images (B, H, W)."""
        images = self.forward().detach().to("cpu", torch.float32)
        return images.numpy().reshape(self.scene.batch, self.scene.size, self.scene.size)

    def gradient(self, operation: str) -> np.ndarray | None:
        """Pose gradients (B, 6) of Euler angles and translation; volume gradients (X, Y, Z)."""
        if operation == "pose":
            return torch.cat(self.pose(), dim=-1).cpu().numpy()
        return self.volume()[0].squeeze().cpu().numpy()


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
