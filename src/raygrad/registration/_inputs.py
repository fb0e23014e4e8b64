"""The X-rays of a registration, each with its camera, its weights and its starts; checked before anything iterates."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn

from raygrad.drr import DRR
from raygrad.geometry import Detector
from raygrad.kernels import sums_in
from raygrad.march import Bodies, Marching
from raygrad.physics import Physics
from raygrad.pose import RigidTransform, make_matrix
from raygrad.registration._inspection import RegistrationWarning, inspect_start
from raygrad.registration._left_out import leave_out
from raygrad.registration._prepared import PreparedXRay
from raygrad.registration._problem.bodies import whole_body
from raygrad.registration._problem.tissue_cts import materials_of
from raygrad.registration._problem.volumes import Volumes

Image = Tensor | np.ndarray
_LEAST_SHOWN, _LITTLE_SHOWN = 0.01, 0.05  # parts of the image that a mask must leave, and should


def prepare_xrays(
    xray: Image | Sequence[Image],
    drr: DRR | Sequence[DRR] | nn.ModuleList,
    init: RigidTransform | Sequence[RigidTransform],
    mask: Image | Sequence[Image | None] | None = None,
    auto_mask: bool = True,
    physics: Physics | Sequence[Physics] | None = None,
) -> tuple[PreparedXRay, ...]:
    """Check everything that a registration is given, and bring it to one form.

    Several views of one patient are given as lists of one length. The poses of one start in all views belong
    together: their relative geometry is what the registration keeps.

    Args:
        xray: the X-ray as line integrals (-log(I / I0), see `to_line_integrals`): (height, width), (1, height, width)
            or (1, 1, height, width) of the DRR's detector.
        drr: the camera and the CT.
        init: one or more starts; views with a single one get as many as the others.
        mask: what counts, of the same shapes as the X-ray: True or 1 for pixels that count, False or 0 for those to
            leave out (collimator, table, metal), and anything between. The X-ray may be NaN where it is 0.
        auto_mask: leave out, too, what the X-ray itself shows not to count, see `register`.
        physics: that images are made by, one for all views or one for each; None for those of the DRR.

    Returns:
        One of every view, each with the same number of starts.

    Raises:
        TypeError: an argument of another kind.
        ValueError: shapes that do not fit the detector, numbers of views or starts that differ; values that are not
            finite; a constant image; a mask outside [0, 1] or that leaves less than a hundredth of the image; poses
            that are not rigid; a DRR that does not render whole images of line integrals; a CT outside the beam; not
            one physics, or one for each view, and with a physics a CT that is not in HU.

    Warns:
        RegistrationWarning: the mask leaves little; some of the starts do not see the CT, or put the source inside
            it; the X-ray looks like an intensity or an inverted image.
    """
    xrays, drrs, inits = as_list(xray), as_list(drr), as_list(init)
    masks, names = for_each_view(
        {"X-ray(s)": xrays, "DRR(s)": drrs, "initial pose(s)": inits},
        mask,
        "one X-ray, DRR and initial pose, or equally long lists of them, one for every view",
        "Several starts of one view are one RigidTransform of several poses.",
    )

    for camera, name in zip(drrs, names, strict=True):
        _check_drr(camera, name)
    made_by = physics_of_views(physics, len(drrs))
    if len({camera.device for camera in drrs}) > 1:
        raise ValueError(f"Expected all DRRs on one device. Got {', '.join(str(camera.device) for camera in drrs)}.")
    starts = max(len(check_pose(pose, name)) for pose, name in zip(inits, names, strict=True))

    prepared = []
    for image, camera, pose, shown, own, name in zip(xrays, drrs, inits, masks, made_by, names, strict=True):
        if len(pose) not in (1, starts):
            raise ValueError(f"Expected {starts} starts or one as initial poses{name}. Got {len(pose)}.")
        like = torch.zeros((), dtype=sums_in(camera.dtype), device=camera.device)
        weights = make_weights(shown, camera.detector, like, name)
        values = make_image(image, weights, camera.detector, name)
        init = refine(pose, starts, camera.device)
        whole, marching = bodies_of(camera, own), Marching(camera.renderer, backend=camera.backend)
        isocentre = camera.subject.volume.get_center()
        one = PreparedXRay(values, weights, init, camera.detector, whole, marching, isocentre, camera)
        prepared.append(leave_out(one) if auto_mask else one)
    for one, name in zip(prepared, names, strict=True):
        inspect_start(one, name)
    return tuple(prepared)


def bodies_of(drr: DRR, physics: Physics | None) -> Bodies:
    """All that a DRR's X-rays show: its density, or the tissues of its CT by a physics."""
    return Volumes([whole_body(drr)]) if physics is None else materials_of(drr, physics)


def physics_of_views(physics: Any, views: int) -> list[Physics | None]:
    """A physics, or None, for each view.

    Raises:
        TypeError, ValueError: something else, or not one or as many as there are views.
    """
    given = [physics] * views if physics is None or isinstance(physics, Physics) else as_list(physics)
    for one in given:
        if not isinstance(one, Physics) and physics is not None:
            raise TypeError(f"Expected a raygrad.physics.Physics, or one for each view. Got {type(one).__name__}.")
    if len(given) != views:
        raise ValueError(f"Expected one physics, or one for each of {views} view(s). Got {len(given)}.")
    return given


def to_line_integrals(intensity: Image, air: float | int | Image | None = None) -> Tensor:
    """Line integrals -log(I / I0) of a raw X-ray, by Beer and Lambert's law: air becomes 0, bone the brightest.

    Clamped at 0, and where I is below I0 / 100 000: detectors measure no less, and a count of 0 has no logarithm.

    Args:
        intensity: what the detector measured, of any shape, at least 0 but for noise; dark offset subtracted.
        air: I0, the intensity without a patient: a number or a tensor to divide by (a flat field). By default the
            brightest pixel's.

    Returns:
        A tensor of the same shape, floating point.

    Raises:
        TypeError: not an image of real numbers.
        ValueError: values that are not finite, no positive one, or an `air` that is not positive.
    """
    measured = _as_tensor(intensity, "the intensity")
    if not measured.isfinite().all() or not (measured > 0).any():
        raise ValueError("Expected finite intensities, some of them positive. Got none, or NaN or infinity.")
    unattenuated = measured.max() if air is None else torch.as_tensor(air).to(measured)
    if not (unattenuated > 0).all() or not unattenuated.isfinite().all():
        raise ValueError(f"Expected a positive and finite intensity in air. Got {unattenuated}.")
    return -(measured / unattenuated).clamp(1e-5, 1.0).log()


def for_each_view(
    given: Mapping[str, Sequence[Any]], mask: Any, expected: str, hint: str
) -> tuple[list[Any], list[str]]:
    """A mask, or None, and the name for messages of each view: " of view 1", or nothing where there is one alone.

    Raises:
        ValueError: what is given of each view is not equally many, or of none.
    """
    counts = {what: len(each) for what, each in given.items()}
    first = next(iter(counts.values()))
    masks = [None] * first if mask is None else as_list(mask)
    if mask is not None:
        counts["mask(s)"] = len(masks)
    if len(set(counts.values())) > 1 or first == 0:
        got = ", ".join(f"{count} {what}" for what, count in counts.items())
        raise ValueError(f"Expected {expected}. Got {got}. {hint}")
    return masks, [f" of view {number}" if first > 1 else "" for number in range(first)]


def as_list(value: Any) -> list:
    return list(value) if isinstance(value, (list, tuple, nn.ModuleList)) else [value]


def _as_tensor(value: Any, what: str) -> Tensor:
    """An image of real numbers as a floating-point tensor outside any graph."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        value = torch.from_numpy(value.astype(np.float32 if value.dtype.itemsize < 4 else np.float64))
    if not isinstance(value, Tensor) or value.is_complex():
        kind = f"{type(value).__name__} of {value.dtype}" if hasattr(value, "dtype") else type(value).__name__
        raise TypeError(f"Expected {what} as a tensor or array of real numbers. Got {kind}.")
    value = value.detach()
    return value if value.is_floating_point() else value.float()


def _check_drr(drr: Any, name: str) -> None:
    if not isinstance(drr, DRR):
        raise TypeError(f"Expected a raygrad.drr.DRR as camera{name}. Got {type(drr).__name__}.")
    if drr.detector.n_subsample is not None:
        raise ValueError(f"Expected a DRR{name} of whole images. Got one with p_subsample: make it without.")
    if drr.reducefn != "sum":
        raise ValueError(f"Expected a DRR{name} of line integrals, reducefn='sum'. Got reducefn={drr.reducefn!r}.")


def check_pose(pose: Any, name: str) -> RigidTransform:
    if not isinstance(pose, RigidTransform):
        raise TypeError(
            f"Expected the initial pose{name} as a raygrad.pose.RigidTransform, such as raygrad.pose.convert makes. "
            f"Got {type(pose).__name__}."
        )
    if len(pose) == 0 or not pose.matrix.isfinite().all():
        raise ValueError(f"Expected at least one initial pose{name}, finite. Got {len(pose)}, or NaN or infinity.")
    matrix = pose.matrix.detach().cpu().double()
    last_row = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    rotation = matrix[:, :3, :3]
    skew = (rotation @ rotation.mT - torch.eye(3, dtype=torch.float64)).abs().max().item()
    if skew > 1e-3 or not torch.equal(matrix[:, 3], last_row.expand(len(matrix), 4)) or (rotation.det() < 0).any():
        raise ValueError(
            f"Expected rigid initial poses{name}: a rotation (orthonormal, determinant 1) and a translation above the "
            f"row 0 0 0 1. Got another matrix among\n{matrix}\nThe orientation (AP, PA) is the DRR's: leave it out."
        )
    return pose


def finest_dtype(device: torch.device) -> torch.dtype:
    """float64, but float32 on GPUs that have nothing finer: Apple's, and some of Intel's."""
    if device.type == "mps" or (device.type == "xpu" and not torch.xpu.get_device_properties(device).has_fp64):
        return torch.float32
    return torch.float64


def refine(pose: RigidTransform, starts: int, device: torch.device) -> RigidTransform:
    """The poses in float64, their rotations orthonormal to its precision."""
    matrix = pose.matrix.detach().cpu().double()
    rigid = make_matrix(roma.special_procrustes(matrix[:, :3, :3]), matrix[:, :3, 3])
    return RigidTransform(rigid.expand(starts, 4, 4).contiguous().to(device, finest_dtype(device)))


def make_weights(mask: Image | None, detector: Detector, like: Tensor, name: str) -> Float[Tensor, "height width"]:
    """The mask as weights in the dtype of rendered images and on their device; ones without a mask."""
    if mask is None:
        return torch.ones(detector.height, detector.width).to(like)
    weights = _as_image(_as_tensor(mask, f"the mask{name}"), detector, f"the mask{name}").to(like.device)
    if not weights.isfinite().all() or weights.min() < 0 or weights.max() > 1:
        raise ValueError(f"Expected the mask{name} as booleans, or finite weights from 0 (ignored) to 1 (counts).")
    shown = weights.mean().item()
    if shown < _LEAST_SHOWN:
        raise ValueError(
            f"Expected a mask{name} that leaves at least {_LEAST_SHOWN:.0%} of the image. Got {shown:.2%}. True or 1 "
            "is for pixels that count: if yours marks what to leave out, give 1 - mask (or ~mask)."
        )
    if shown < _LITTLE_SHOWN:
        message = f"The mask{name} leaves only {shown:.1%} of the image. If it marks what to leave out, give 1 - mask."
        warnings.warn(message, RegistrationWarning, stacklevel=3)
    return (weights / weights.max()).to(like)


def make_image(xray: Image, weights: Tensor, detector: Detector, name: str) -> Float[Tensor, "1 1 height width"]:
    """The X-ray in the dtype of rendered images and on their device; what the mask hides is finite."""
    image = _as_image(_as_tensor(xray, f"the X-ray{name}"), detector, f"the X-ray{name}").to(weights.device)
    visible = image[weights > 0]
    wrong = int((~visible.isfinite()).sum())
    if wrong:
        raise ValueError(
            f"Expected finite values in the X-ray{name}. Got {wrong} pixel(s) that are NaN or infinite: hide them with "
            "a mask that is 0 there. The logarithm of 0 is one cause: raygrad.registration.to_line_integrals has none."
        )
    low, high = (end.item() for end in visible.aminmax())
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        where = " where the mask shows it" if (weights == 0).any() else ""
        raise ValueError(
            f"Expected an X-ray{name} with a patient on it. Got the same value, {low:g}, everywhere{where}."
        )
    filled = torch.where(image.isfinite(), image, visible.to(finest_dtype(image.device)).mean().to(image))
    return filled.to(weights)[None, None]


def _as_image(value: Tensor, detector: Detector, what: str) -> Float[Tensor, "height width"]:
    """The image without leading axes of 1."""
    height, width = detector.height, detector.width
    if value.ndim not in (2, 3, 4) or value.shape[-2:] != (height, width) or value.numel() != height * width:
        hint = ""
        if value.ndim in (3, 4) and value.shape[-2:] == (height, width):
            hint = " Give several views as a list, with a DRR and a pose for each; and one channel, not colours."
        elif value.ndim == 2 and value.shape == (width, height):
            hint = " Its rows and columns look exchanged: give its transpose."
        elif value.ndim >= 2:
            hint = " Resize the image, or make the DRR with the image's height, width and pixel size (delx, dely)."
        raise ValueError(
            f"Expected {what} of shape ({height}, {width}), the detector's rows and columns, or with leading axes of "
            f"1. Got {tuple(value.shape)}.{hint}"
        )
    return value.reshape(height, width)
