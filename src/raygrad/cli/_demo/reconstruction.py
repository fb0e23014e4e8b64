"""A volume recovered from a single X-ray image: it fits that image, and no other."""

from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from raygrad.data import Subject
from raygrad.drr import DRR
from raygrad.pose import RigidTransform, convert
from raygrad.visualization import plot_drr

NOVEL_VIEWS = {
    "10 mm closer": ((0.0, 0.0, 0.0), (0.0, 840.0, 0.0)),
    "1° to the side": ((1.0, 0.0, 0.0), (0.0, 850.0, 0.0)),
}


class Reconstruction(torch.nn.Module):
    """An X-ray system whose volume is a parameter, at first empty."""

    def __init__(self, drr: DRR, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.drr = drr
        self.density = torch.nn.Parameter(torch.zeros(shape))

    def forward(self, pose: RigidTransform) -> Tensor:
        """The image (batch, channel, height, width) of the volume as it is now."""
        source, target = self.drr.detector(pose, None)
        return self.drr.reshape_transform(self.drr.render(self.density, source, target), batch_size=len(pose))


def reconstruct(drr: DRR, shape: tuple[int, ...], pose: RigidTransform, image: Tensor, iterations: int) -> tuple:
    """Fit a volume to one image by Adam on the mean squared error.

    Returns:
        The `Reconstruction` and the list of its losses.
    """
    model = Reconstruction(drr, shape)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    losses = []
    for _ in tqdm(range(iterations), desc="reconstruction", ncols=80):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(pose), image)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def _pose(degrees: tuple[float, ...], xyz: tuple[float, ...]) -> RigidTransform:
    angles, shift = torch.tensor([degrees]), torch.tensor([xyz])
    return convert(angles, shift, parameterization="euler_angles", convention="ZXY", degrees=True)


def _normalise(image: Tensor, like: Tensor) -> Tensor:
    return (image - like.min()) / (like.max() - like.min())


def draw_reconstruction(subject: Subject, quick: bool = False) -> tuple[Any, str]:
    """A figure of the fit, of two other views and of one slice, and a sentence about it."""
    from matplotlib import pyplot as plt

    drr = DRR(subject, sdd=1020.0, height=200, delx=2.0)
    pose = _pose((0.0, 0.0, 0.0), (0.0, 850.0, 0.0))
    with torch.no_grad():
        xray = drr(pose)
    fixed = _normalise(xray, xray)
    shape = tuple(subject.volume.spatial_shape)
    model, losses = reconstruct(drr, shape, pose, fixed, iterations=41 if quick else 101)

    with torch.no_grad():
        fitted = model(pose)
        poses = {name: _pose(*view) for name, view in NOVEL_VIEWS.items()}
        novel = {name: (_normalise(drr(view), xray), model(view)) for name, view in poses.items()}
    figure, axes = plt.subplots(2, 5, figsize=(16, 7), layout="constrained")
    grey: dict[str, Any] = {"ticks": False, "vmin": 0.0, "vmax": 1.0}
    plot_drr(torch.cat([fixed, fitted]), title=["X-ray", "reconstruction"], axs=axes[0, :2], **grey)
    difference = fitted - fixed
    reach = difference.abs().quantile(0.999).item()
    text = f"reconstruction - X-ray, colours ±{reach:.1g}"
    plot_drr(difference, title=text, ticks=False, axs=axes[0, 2], cmap="coolwarm", vmin=-reach, vmax=reach)
    for (name, pair), pair_axes in zip(novel.items(), (axes[1, :2], axes[1, 2:4]), strict=True):
        plot_drr(torch.cat(pair), title=[f"{name}: X-ray", f"{name}: reconstruction"], axs=pair_axes, **grey)
    axes[0, 3].semilogy(losses)
    axes[0, 3].set(xlabel="mean squared error at each iteration", box_aspect=1)
    slices = {"CT": drr.density, "reconstruction": model.density.detach()}
    for (name, volume), ax in zip(slices.items(), axes[:, 4], strict=True):
        plot_drr(_axial_slice(volume), title=f"{name}, a slice", ticks=False, axs=ax)
    worse = [torch.nn.functional.mse_loss(*pair).item() / losses[-1] for pair in novel.values()]
    closer, aside = map(_times, worse)
    meaning = (
        f"A volume fitted to one X-ray by gradient descent: the error falls {losses[0] / losses[-1]:.0f} times in "
        f"{len(losses) - 1} iterations. But one view does not determine a volume (last column: a slice of each): from "
        f"10 mm closer the error is {closer} times as large, from 1 degree to the side {aside} times"
        f"{'.' if max(worse) > 2 else ', and more the longer this one view is fitted.'}"
    )
    return figure, meaning


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"


def _axial_slice(volume: Tensor) -> Tensor:
    """The middle axial slice as an image, anterior up and the patient's right on the left."""
    return volume[..., volume.shape[2] // 2].flip(0, 1).T[None, None]
