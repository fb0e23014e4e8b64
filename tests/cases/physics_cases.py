"""Small CTs in HU, and systems that look at them."""

import numpy as np
import torch

from raygrad.data import Subject, Volume
from raygrad.drr import DRR
from raygrad.physics import Physics, Spectrum
from raygrad.pose import convert

SPACING = 6.0


def body(shape=(9, 8, 7), seed=0, dtype=torch.float64, lowest=-1000, highest=1900):
    """HU of a body with all tissues in it, drawn by lot, each value away from where curves bend."""
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (lowest + (highest - lowest) * drawn).to(dtype)


def subject_of(hu, spacing=SPACING, **others):
    """A subject about the origin, whose density has the dtype of the HU."""
    sides = np.array([spacing] * 3 if np.isscalar(spacing) else spacing, dtype=float)
    affine = np.diag([*sides, 1.0])
    affine[:3, 3] = -sides * (np.array(hu.shape) - 1) / 2
    density = torch.zeros(hu.shape, dtype=torch.float64 if hu.dtype == torch.float64 else torch.float32)
    return Subject(Volume(hu, affine), density + 1, **others)


def drr_of(hu, rows=6, columns=5, delx=12.0, renderer="joseph", **others):
    """A DRR of a subject about the origin."""
    subject = hu if isinstance(hu, Subject) else subject_of(hu)
    return DRR(subject, 1000.0, rows, delx, columns, renderer=renderer, **others)


def pose_of(angles=(0.1, 0.2, 0.3), shift=(3.0, 800.0, -2.0), dtype=torch.float64, requires_grad=False):
    """One pose in front of the patient."""
    rotation = torch.tensor([angles], dtype=dtype, requires_grad=requires_grad)
    translation = torch.tensor([shift], dtype=dtype, requires_grad=requires_grad)
    return convert(rotation, translation, parameterization="euler_angles", convention="ZXY")


def beam(**changes):
    """A polychromatic beam on an ideal detector, without any effect."""
    return Physics(Spectrum.tube(80.0), **changes)
