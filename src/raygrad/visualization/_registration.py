"""Pictures of a registration: the X-ray and the rendered image in one, their difference, and the way there."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from raygrad._files import written_whole
from raygrad._progress import Iteration
from raygrad.drr import DRR
from raygrad.pose import RigidTransform
from raygrad.registration import RegistrationResult
from raygrad.types import Images
from raygrad.visualization._images import plot_drr

if TYPE_CHECKING:
    from matplotlib.axes import Axes

XRAY_COLOR, DRR_COLOR = (1.0, 0.45, 0.0), (0.0, 0.55, 1.0)
"""Orange and azure, which add up to white and stay apart for the colour-blind."""

_DARKEST, _BRIGHTEST = 0.01, 0.995  # quantiles of an image that become black and white
_FRAME_PIXELS, _GIF_COLORS = 200, 255  # of an animation: its longer side, its palette


def plot_overlay(
    xray: Images,
    drr_image: Float[Tensor, "..."],
    title: str | Sequence[str] | None = None,
    ticks: bool | None = False,
    axs: "Axes | Sequence[Axes] | np.ndarray | None" = None,
    style: str = "colors",
    tiles: int = 8,
    mask: Float[Tensor, "height width"] | None = None,
) -> Any:
    """Draw X-rays and rendered images in one, to see whether they agree.

    Args:
        xray: (batch, 1, height, width), bone bright.
        drr_image: rendered images of the same shape, or a batch of one.
        title, ticks, axs: as for `plot_drr`.
        style: "colors" for the X-ray in orange and the rendered image in azure, grey where they agree; "checkerboard"
            for tiles of both in turn, where edges run on if they agree.
        tiles: number of the checkerboard's tiles along the shorter side.
        mask: weights as given to `register`, or a view's of `RegistrationResult.masks`: black where they are 0.

    Returns:
        The axes, one for every X-ray.

    Raises:
        ValueError: shapes that do not match, an unknown style, or the wrong number of titles or axes.
        ImportError: matplotlib is not installed.
    """
    if style not in ("colors", "checkerboard"):
        raise ValueError(f"Expected style as colors or checkerboard. Got {style!r}.")
    xray, drr_image = _matching(xray, drr_image)
    grey = _grey(xray, mask), _grey(drr_image, mask)
    pictures = _blend(*grey) if style == "colors" else _checkerboard(*grey, tiles)
    drawn = plot_drr(xray, title, ticks, axs)
    for ax, picture in zip(drawn, pictures, strict=True):
        ax.get_images()[-1].remove()
        ax.imshow(picture.numpy())
    return drawn


def plot_difference(
    xray: Images,
    drr_image: Float[Tensor, "..."],
    title: str | Sequence[str] | None = None,
    ticks: bool | None = False,
    axs: "Axes | Sequence[Axes] | np.ndarray | None" = None,
    reach: float | None = None,
    mask: Float[Tensor, "height width"] | None = None,
) -> Any:
    """Draw X-rays minus rendered images, both brought to mean 0 and deviation 1: white where they agree.

    Args:
        xray, drr_image, title, ticks, axs: as for `plot_overlay`.
        reach: the difference that has full colour, by default the 99.5 % quantile of all images' differences.
        mask: weights as given to `register`: no difference where they are 0.

    Returns:
        The axes, one for every X-ray.

    Raises:
        ValueError: shapes that do not match, or the wrong number of titles or axes.
        ImportError: matplotlib is not installed.
    """
    xray, drr_image = _matching(xray, drr_image)
    difference = _standardised(xray, mask) - _standardised(drr_image, mask)
    reach = float(np.quantile(difference.abs().numpy(), 0.995)) if reach is None else reach
    return plot_drr(difference, title, ticks, axs, cmap="coolwarm", vmin=-reach, vmax=reach)


def plot_convergence(
    result: RegistrationResult,
    start: int | None = None,
    truth: RigidTransform | None = None,
    axs: "Axes | Sequence[Axes] | np.ndarray | None" = None,
) -> Any:
    """Draw the similarity at each iteration, and how far the pose was from the last one.

    Args:
        result: what `raygrad.registration.register` returned.
        start: which start, by default the best. The trace of a search follows its leader, whichever pose is asked for.
        truth: the true pose, if known, from which distances are then taken.
        axs: two axes; a new figure by default.

    Returns:
        The two axes. Stages are told apart by grey stripes: scores of different stages measure different things. The
        curves follow the best of a start's candidates, and so begin nearer than the start itself. Distances are of the
        CT's isocentre as the camera sees it (mm) and of the camera's direction (degrees).

    Raises:
        ValueError: an empty trace, or not two axes.
        ImportError: matplotlib is not installed.
    """
    if not result.trace:
        raise ValueError("Expected a result with a trace. Got one without iterations.")
    start = result.best if start is None else start
    if axs is None:
        from matplotlib import pyplot as plt

        axs = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")[1]
    axes = np.atleast_1d(np.asarray(axs, dtype=object))
    if axes.shape != (2,):
        raise ValueError(f"Expected two axes. Got an array of shape {axes.shape}.")

    scores = result.scores(start).numpy()
    stages = np.array([iteration.stage for iteration in result.trace])
    steps = np.arange(len(stages))
    end = result.pose[start] if truth is None else truth[0]
    moved, turned = _distances(result.path(start), RigidTransform(end))
    for stage in np.unique(stages):
        here = steps[stages == stage]
        axes[0].plot(here, scores[here], ".-", color="tab:blue")
        for ax in axes:
            ax.axvspan(here[0] - 0.5, here[-1] + 0.5, color="0.92" if stage % 2 else "1.0", zorder=0, linewidth=0)
    axes[0].set(xlabel="iteration", ylabel="similarity")
    axes[1].semilogy(steps, _positive(moved), ".-", color="tab:blue", label="mm")
    axes[1].semilogy(steps, _positive(turned), ".-", color="tab:orange", label="degrees")
    axes[1].set(xlabel="iteration", ylabel=f"distance from the {'last' if truth is None else 'true'} pose")
    axes[1].legend()
    return axes


def animate(
    path: str | os.PathLike[str],
    xray: Tensor | Sequence[Tensor],
    drr: DRR | Sequence[DRR],
    result: RegistrationResult,
    start: int | None = None,
    init: RigidTransform | Sequence[RigidTransform] | None = None,
    max_frames: int = 40,
    fps: float | int = 8,
    mask: Sequence[Float[Tensor, "_ _"] | None] | None = None,
) -> None:
    """Write the overlay of every iteration as an animated GIF, X-rays of several views side by side.

    Args:
        path: a file ending in .gif.
        xray: (1, 1, height, width), or a list with one for every view, as given to `register`.
        drr: the DRR module, or a list of them.
        result: what `register` returned for them.
        start: which start, by default the best.
        init: as given to `register`, to begin with the start itself; the trace begins with its best candidate.
        max_frames: if there were more iterations, so many of them are drawn, evenly spread.
        fps: frames per second; the last one stays for two seconds.
        mask: of every view, as for `plot_overlay`; by default `result.masks`.

    Raises:
        ValueError: an empty trace, numbers of X-rays, DRRs and views that differ, or another suffix.
        OSError: the file cannot be written.
        ImportError: matplotlib is not installed.
    """
    if not str(path).endswith(".gif"):
        raise ValueError(f"Expected a path that ends in .gif. Got {path}.")
    if not result.trace:
        raise ValueError("Expected a result with a trace. Got one without iterations.")
    xrays = [xray] if isinstance(xray, Tensor) else list(xray)
    drrs = [drr] if isinstance(drr, DRR) else list(drr)
    if not len(xrays) == len(drrs) == len(result.poses):
        raise ValueError(
            f"Expected an X-ray and a DRR for each of {len(result.poses)} view(s). Got {len(xrays)} and {len(drrs)}."
        )
    start = result.best if start is None else start
    shown = _spread(len(result.trace), max_frames)
    ways = [result.path(start, view).matrix[shown] for view in range(len(drrs))]
    scores = result.scores(start).tolist()
    captions = [_caption(result.trace[index], scores[index]) for index in shown]
    if init is not None:
        inits = [init] if isinstance(init, RigidTransform) else list(init)
        begins = [pose.matrix[start if len(pose) > 1 else 0].to(way) for pose, way in zip(inits, ways, strict=True)]
        ways = [torch.cat([begin[None], way]) for begin, way in zip(begins, ways, strict=True)]
        captions = ["start\n", *captions]
    masks = list(result.masks or [None] * len(drrs)) if mask is None else list(mask)
    films = [_film(*scene) for scene in zip(xrays, drrs, ways, masks, strict=True)]
    _write_gif(path, films, captions, fps)


def _film(
    xray: Images, drr: DRR, poses: Float[Tensor, "frame 4 4"], mask: Float[Tensor, "height width"] | None
) -> Float[Tensor, "frame height width 3"]:
    """The overlay of an X-ray and the images rendered from some poses, at most `_FRAME_PIXELS` high and wide."""
    factor = -(-max(drr.detector.height, drr.detector.width) // _FRAME_PIXELS)
    detector = drr.detector.with_intrinsics(drr.detector.intrinsics.shrunk(factor))
    small = functional.avg_pool2d(xray, factor)
    mask = None if mask is None else functional.avg_pool2d(mask[None], factor)[0]
    frames = []
    with torch.no_grad():
        for matrix in poses:
            source, target = detector(RigidTransform(matrix), None)
            image = drr.render(drr.density, source, target).reshape(1, 1, detector.height, detector.width)
            frames.append(_blend(*(_grey(picture, mask) for picture in _matching(small, image)))[0])
    return torch.stack(frames)


def _write_gif(
    path: str | os.PathLike[str], films: Sequence[Tensor], captions: Sequence[str], fps: float | int
) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from PIL import Image  # matplotlib brings it
    except ImportError as error:
        raise ImportError('Animations need matplotlib: pip install "raygrad[plot]"') from error

    tallest = 3.2 * max(film.shape[1] / film.shape[2] for film in films)
    figure = Figure(figsize=(3.2 * len(films), tallest + 0.4), dpi=100)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=tallest / (tallest + 0.4), wspace=0.02)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(films), squeeze=False)[0]
    pictures = [ax.imshow(film[0].numpy()) for ax, film in zip(axes, films, strict=True)]
    for ax in axes:
        ax.set(xticks=[], yticks=[])
    text = figure.suptitle(captions[0], fontsize=9)
    frames = []
    for number, caption in enumerate(captions):
        text.set_text(caption)
        for picture, film in zip(pictures, films, strict=True):
            picture.set_data(film[number].numpy())
        canvas.draw()
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(_GIF_COLORS))
    milliseconds = [round(1000 / fps)] * (len(frames) - 1) + [2000]
    with written_whole(Path(path)) as unfinished:
        frames[0].save(unfinished, save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)


def _matching(xray: Images, drr_image: Float[Tensor, "..."]) -> tuple[Images, Images]:
    """Both on the CPU in float32, with as many rendered images as X-rays."""
    expected = (len(xray), 1, *xray.shape[2:])
    if xray.shape != expected or drr_image.shape not in (expected, (1, *expected[1:])):
        raise ValueError(
            "Expected X-rays and rendered images of one shape (batch, 1, height, width). "
            f"Got {tuple(xray.shape)} and {tuple(drr_image.shape)}."
        )
    xray, drr_image = (image.detach().float().cpu() for image in (xray, drr_image))
    return xray, drr_image.expand(expected)


def _grey(images: Images, mask: Float[Tensor, "height width"] | None = None) -> Images:
    """Every image from 0 to 1 between its own darkest and brightest quantile; 0 where the mask hides it."""
    shown = _shown(images, mask)
    ends = np.quantile(images[..., shown].flatten(1).numpy(), (_DARKEST, _BRIGHTEST), axis=1)
    low, high = torch.from_numpy(ends).to(images)[..., None, None, None]
    return ((images - low) / (high - low).clamp_min(1e-12)).clamp(0, 1) * shown


def _standardised(images: Images, mask: Float[Tensor, "height width"] | None = None) -> Images:
    """Every image with mean 0 and standard deviation 1; 0 where the mask hides it."""
    shown = _shown(images, mask)
    deviation, mean = (part[..., None, None] for part in torch.std_mean(images[..., shown], dim=-1))
    return (images - mean) / deviation.clamp_min(1e-12) * shown


def _shown(images: Images, mask: Float[Tensor, "height width"] | None) -> Bool[Tensor, "height width"]:
    """Where the mask lets the images be seen: everywhere without one.

    Raises:
        ValueError: a mask of another size, or one that hides all.
    """
    if mask is None:
        return torch.ones(images.shape[-2:], dtype=torch.bool)
    if mask.shape != images.shape[-2:] or not (mask > 0).any():
        raise ValueError(f"Expected a mask of {tuple(images.shape[-2:])}, not 0 everywhere. Got {tuple(mask.shape)}.")
    return mask.cpu() > 0


def _blend(xray: Images, drr_image: Images) -> Float[Tensor, "batch height width 3"]:
    """Grey images from 0 to 1 in the colours of the X-ray and of the rendered image, added up."""
    colors = torch.tensor([XRAY_COLOR, DRR_COLOR])
    return xray[:, 0, ..., None] * colors[0] + drr_image[:, 0, ..., None] * colors[1]


def _checkerboard(xray: Images, drr_image: Images, tiles: int) -> Float[Tensor, "batch height width 3"]:
    """Tiles of the one and the other grey image in turn."""
    height, width = xray.shape[-2:]
    size = max(1, -(-min(height, width) // tiles))
    row, column = torch.arange(height)[:, None] // size, torch.arange(width) // size
    return torch.where((row + column) % 2 == 0, xray[:, 0], drr_image[:, 0])[..., None].expand(-1, -1, -1, 3)


def compared_in_colour(
    xray: Images, drr_image: Images, kind: str, mask: Float[Tensor, "height width"] | None = None, tiles: int = 8
) -> Float[Tensor, "batch height width 3"]:
    """What `plot_overlay` ("overlay", "checkerboard") and `plot_difference` ("difference") draw, as colours to 1."""
    xray, drr_image = _matching(xray, drr_image)
    if kind == "difference":
        from matplotlib import colormaps

        difference = (_standardised(xray, mask) - _standardised(drr_image, mask))[:, 0]
        reach = max(float(np.quantile(difference.abs().numpy(), 0.995)), 1e-12)
        return torch.from_numpy(colormaps["coolwarm"](difference.numpy() / (2 * reach) + 0.5)[..., :3]).float()
    grey = _grey(xray, mask), _grey(drr_image, mask)
    return _blend(*grey) if kind == "overlay" else _checkerboard(*grey, tiles)


def _distances(poses: RigidTransform, end: RigidTransform) -> tuple[np.ndarray, np.ndarray]:
    """How far apart poses have the isocentre, seen from the camera (mm), and the camera's directions (degrees)."""
    poses, end = poses.to("cpu", torch.float64), end.to("cpu", torch.float64)
    seen, there = poses.inverse().translation, end.inverse().translation
    turn = roma.rotmat_geodesic_distance(poses.rotation, end.rotation.expand_as(poses.rotation))
    return (seen - there).norm(dim=1).numpy(), torch.rad2deg(turn).numpy()


def _positive(distances: np.ndarray) -> np.ndarray:
    """Zeros left out, which a logarithmic axis cannot show."""
    return np.where(distances > 1e-9, distances, np.nan)


def _spread(count: int, at_most: int) -> list[int]:
    """So many of the numbers below `count`, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, at_most)).round().astype(int)).tolist()


def _caption(iteration: Iteration, score: float) -> str:
    assert iteration.pixels is not None
    rows, columns = iteration.pixels
    return (
        f"stage {iteration.stage + 1} ({columns} x {rows}), iteration {iteration.number}\n"
        f"similarity {score:.4f}, {iteration.seconds:.2f} s"
    )
