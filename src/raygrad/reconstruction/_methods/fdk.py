"""FDK: filter every row, back project, done. Filtered back projection for cone beams on a circle and parallel beams."""

import math
import time
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from raygrad import kernels
from raygrad._processes import Processes
from raygrad._progress import Status
from raygrad.geometry import USE_ANOTHER, ConeViews, ParallelViews, Rotation, find_rotation, pixel_to_ray, positions
from raygrad.projector import Projector
from raygrad.reconstruction._checks import check_constraint, check_images
from raygrad.reconstruction._method import Held, Method
from raygrad.reconstruction._methods import scan_weights
from raygrad.reconstruction._methods.filters import check_filter, filter_rows, frequency_response
from raygrad.reconstruction._methods.truncation import continued, share_cut_off
from raygrad.reconstruction._result import ReconstructionResult, ReconstructionWarning

ABOUT_CENTRED = 0.8
"""A detector on a short scan is off centre where one side sees less than this share of the other."""
MANY_CUT_OFF = 0.05
"""Of the rows of all images."""
PARALLEL_GAP_DEG = 10.0
"""A widest gap between directions of parallel beams up to which they count as lying all around."""


@dataclass(frozen=True, kw_only=True)
class Fdk(Method):
    """Reconstruct from a circular scan in one pass: Feldkamp, Davis & Kress (J. Opt. Soc. Am. A 1(6), 1984).

    Exact up to sampling in the plane of the source's circle (and everywhere for parallel beams), an approximation that
    worsens with the cone's angle above and below it. Rows are weighted by the cosine of each ray's angle to the line
    from the source to the axis, ramp filtered, and back projected with weights (radius / depth)^2. The scale is that
    of the images: attenuation in 1/mm from line integrals.

    What the views need is found from where they are:

    - Angles may be unequal: each view counts for half the gaps on its two sides.
    - A short scan, over less than a full turn, gets Parker's weights. It has to measure every line through the volume
      (or through what the detector sees): 180 degrees and the fan's angle, but for one step between views.
    - A detector off centre that sees the volume on one side only gets Wang's weights, on a full turn. On a short scan
      it may be off by a tenth of what it sees; the rim is then measured in part only.
    - Rows that end within the patient are told of, and continued on request.
    - Parallel beams have to go around 180 degrees; with a detector off centre, 360.

    Poses come from the views one by one, so a C-arm's are used as they were measured. Sources may leave the circle by
    3 % of its radius, rows and the detector's normal the plane of rotation by 5 degrees.

    Args:
        filter: window on the ramp: "ram-lak" for none, "shepp-logan", "cosine" or "hann" for ever less noise and
            detail.
        cutoff: frequency along the rows above which nothing passes, in units of the Nyquist frequency, in (0, 1].
        nonnegative: set negative voxels to 0 at the end.
        extend: continue rows that are cut off within the patient, as if he were an ellipse there.

    Raises:
        ValueError: an unknown filter, or a cutoff out of range.
    """

    name: ClassVar[str] = "fdk"
    held: ClassVar[Held] = Held(volumes=1.0, stacks=1.0)
    filter: str = "ram-lak"
    cutoff: float | int = 1.0
    nonnegative: bool = False
    extend: bool = False

    def __post_init__(self) -> None:
        check_filter(self.filter, self.cutoff)

    @torch.no_grad()
    def __call__(self, projector: Projector, images: Tensor, *, support: Any = None) -> ReconstructionResult:
        """Reconstruct.

        Args:
            projector: whose `ConeViews` or `ParallelViews` the images are, and whose grid is to be reconstructed. (FDK
                itself projects nothing.)
            images: line integrals (view, height, width).
            support: (x, y, z) of the voxels that may differ from 0.

        Raises:
            TypeError: views of another kind, or images that are no floating-point tensor.
            ValueError: images or support that do not fit the projector, views that see nothing of the volume, or that
                no analytic method can reconstruct from: too few, not on a circle (such as a helix), not around far
                enough.

        Warns:
            ReconstructionWarning: many rows are cut off within the patient, and are not to be extended.
        """
        began = time.perf_counter()
        if projector.mask is not None:
            self.check_mask()
        images = check_images(projector, images)
        constraint = check_constraint(projector, images, self.nonnegative, support)
        # What turned is found on the CPU: few numbers, float64, which some GPUs do not have.
        views, processes = projector.views.to("cpu"), projector.processes
        sources, own = _of_all_processes(processes, positions(views))
        assert isinstance(views, ConeViews | ParallelViews)
        rotation = find_rotation(views, sources, own, projector.volume_geometry)
        weight, near, far = _weights_of_columns(rotation, own)
        before, after = _columns_to_add(rotation.fan, far if near < far else 0.0)
        if self.extend:
            before, after = (max(added, images.shape[-1]) for added in (before, after))
        response = frequency_response(images.shape[-1] + before + after, self.filter, self.cutoff).to(images)
        voxel_to_pixel = views.world_to_pixel.detach() @ projector.volume_geometry.voxel_to_world
        _check_sight(voxel_to_pixel, projector)
        if not self.extend:
            _warn_of_truncation(images, weight)
        voxel_to_pixel[:, 0] += before * voxel_to_pixel[:, 2]

        distance = torch.full_like(weight[:, 0], rotation.radius or 1.0)
        weight /= (rotation.pitch * distance)[:, None]
        volume = projector.volume_geometry.zeros(images.dtype, images.device)
        at_once = max(1, projector.rays_at_once // math.prod(images.shape[1:]))
        for first in range(0, len(images), at_once):
            projector.check_interrupt()
            some = slice(first, first + at_once)
            rows, added = images[some], (before, after)
            rows = continued(rows, *added) if self.extend else pad(rows, added)
            rows = rows * pad(weight[some, None].to(images), added, mode="replicate")
            if isinstance(views, ConeViews):
                rows *= _cosine(pixel_to_ray(views[some]), rotation.towards_axis[some], rows, before)
            rows = filter_rows(rows, response)
            placed = (geometry[some].to(images.device) for geometry in (voxel_to_pixel, distance))
            kernels.add_voxel_driven_(volume, rows, *placed, backend=projector.backend)
        volume = constraint.apply_(processes.sum(volume))
        return ReconstructionResult(volume, projector, self.name, Status.DIRECT, (), time.perf_counter() - began)


def _of_all_processes(processes: Processes, own: Tensor) -> tuple[Tensor, slice]:
    """The rows of all processes, and which of them are this one's."""
    counts = torch.zeros(processes.count, dtype=torch.int64, device=own.device)
    counts[processes.rank] = len(own)
    counts = processes.sum(counts)
    first = int(counts[: processes.rank].sum())
    mine = slice(first, first + len(own))
    every = own.new_zeros(int(counts.sum()), own.shape[1])
    every[mine] = own
    return processes.sum(every), mine


def _weights_of_columns(rotation: Rotation, own: slice) -> tuple[Float[Tensor, "view column"], float, float]:
    """Angle that each view stands for times each ray's share of its line, and how far the detector's sides see.

    Raises:
        ValueError: the views do not measure every line through the volume.
    """
    fan, parallel = rotation.fan, rotation.radius is None
    left, right = -float(fan.amin(1).amax()), float(fan.amax(1).amin())
    near, far = min(left, right), max(left, right)
    if near <= 0:
        raise ValueError(f"Expected detectors that see the axis of rotation. Got some that do not. {USE_ANOTHER}")
    step = (left + right) / max(1, fan.shape[1] - 1)
    one_sided = near < min(far, rotation.reach) - step
    turn = scan_weights.sample_angles(rotation.angle, 2 * math.pi)
    if one_sided and not turn.is_closed and not parallel and near >= ABOUT_CENTRED * far:
        one_sided, far = False, near
    if one_sided:
        if not turn.is_closed:
            raise ValueError(
                f"Expected a full turn for a detector that sees {near:.4g} on one side of the axis and {far:.4g} on "
                f"the other ({'mm' if parallel else 'radians'}). Got an arc of {math.degrees(turn.arc):.4g} degrees. "
                f"{USE_ANOTHER}"
            )
        sign = 1 if right > left else -1
        redundancy = scan_weights.offset_detector(sign * fan, near, far)
        return turn.share[own, None] * redundancy, near, far
    if parallel:
        turn = scan_weights.sample_angles(rotation.angle, math.pi)
        missing = math.degrees(math.pi - turn.arc)
        if not turn.is_closed and missing > PARALLEL_GAP_DEG:
            raise ValueError(f"Expected parallel beams around 180 degrees. Got {missing:.4g} missing. {USE_ANOTHER}")
        return turn.share[own, None].expand(fan.shape).clone(), far, far
    if turn.is_closed:
        return turn.share[own, None].expand(fan.shape) / 2, far, far
    needed = math.pi + 2 * min(far, rotation.reach)
    if turn.arc < needed - turn.widest_gap:
        raise ValueError(
            f"Expected views over 180 degrees and the fan's angle, {math.degrees(needed):.4g} degrees, or all around. "
            f"Got an arc of {math.degrees(turn.arc):.4g} degrees. {USE_ANOTHER}"
        )
    return turn.share[own, None] * scan_weights.short_scan(turn.position[own], fan, turn.arc), far, far


def _columns_to_add(fan: Tensor, far: float) -> tuple[int, int]:
    """Columns before and after the image that make it reach `far` on both sides, for what the filter spreads there."""
    step = (fan[:, -1] - fan[:, 0]) / max(1, fan.shape[1] - 1)
    ends = torch.stack([fan[:, 0], fan[:, -1]], dim=1) * step.sign()[:, None]
    if far <= 0:
        return 0, 0
    # Angles are steepest at the rim, so that steps of tan(far) are enough.
    scale = (math.tan(far) / far) if far < 1.5 else 1.0
    before = ((ends[:, 0] + far) / step.abs() * scale).max()
    after = ((far - ends[:, 1]) / step.abs() * scale).max()
    return max(0, math.ceil(float(before) - 1e-6)), max(0, math.ceil(float(after) - 1e-6))


def _warn_of_truncation(images: Tensor, weight: Float[Tensor, "view column"]) -> None:
    """Say where rows end within the patient, at ends that no opposite view makes up for."""
    left, right = (bool(weight[:, end].mean() > 0.25 * weight.mean()) for end in (0, -1))
    share = share_cut_off(images, left, right)
    if share > MANY_CUT_OFF:
        warnings.warn(
            f"{share:.0%} of the rows of the images end within what they show: what is reconstructed comes out too "
            "high, most of all at its rim. extend=True (--extend) continues them as if the patient were an ellipse.",
            ReconstructionWarning,
            stacklevel=4,
        )


def _cosine(to_ray: Tensor, towards_axis: Tensor, rows: Tensor, first: int = 0) -> Tensor:
    """Cosines (view, height, width) of the angles between every pixel's ray and the line from the source to the axis.

    The first of the columns comes so many before that of the image.

    |ray|^2 and the product with that line are polynomials in column and row, worked out in the dtype of `rows`, and
    where those are.
    """
    height, width = rows.shape[1:]
    column = torch.arange(width, dtype=torch.float64) - first
    row = torch.arange(height, dtype=torch.float64)[:, None]
    squares = to_ray.mT @ to_ray
    s = [[squares[:, i, j, None, None] for j in range(3)] for i in range(3)]
    along = to_ray.mT @ towards_axis[:, :, None]
    by_column = s[0][0] * column**2 + 2 * s[0][2] * column + s[2][2]
    by_row = s[1][1] * row**2 + 2 * s[1][2] * row
    square = by_column.to(rows) + by_row.to(rows)
    square += (2 * s[0][1] * row).to(rows) * column.to(rows)
    cosine = (along[:, :1] * column + along[:, 2:]).to(rows) + (along[:, 1:2] * row).to(rows)
    return cosine.mul_(square.rsqrt_())


def _check_sight(voxel_to_pixel: Tensor, projector: Projector) -> None:
    """See that the volume's box, as every view sees it, is not beside the image or behind the source.

    Raises:
        ValueError: a view sees nothing of the volume.
    """
    shape = torch.tensor(projector.domain_shape, dtype=torch.float64, device=voxel_to_pixel.device)
    corner = torch.cartesian_prod(*[torch.tensor([-0.5, 1.0])] * 3).to(shape)
    corner = torch.where(corner > 0, shape - 0.5, corner)
    column, row, depth = (corner @ voxel_to_pixel[:, :, :3].mT + voxel_to_pixel[:, None, :, 3]).unbind(-1)
    rows, columns = projector.views.image_shape
    beside = (depth <= 0).all(1)
    for position, size in ((column, columns), (row, rows)):
        beside |= (position < -0.5 * depth).all(1) | (position > (size - 0.5) * depth).all(1)
    blind = beside.nonzero()[:, 0].tolist()
    if blind:
        raise ValueError(
            f"Expected views that see the volume. Got {len(blind)} that see nothing of it: {blind[:10]}. "
            "Compare the poses' and the volume's places in the world."
        )
