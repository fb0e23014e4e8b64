"""A body with a spine, and conditions of the evaluation that are quick and without noise."""

import math
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from raygrad.data import Subject, Volume
from raygrad.evaluation import CONDITIONS, make_case
from raygrad.evaluation._conditions import cases as cases_module


def body_with_spine(slices, slice_mm, lung):
    """A body along all of z with two lungs and a spine of three vertebrae, centred.

    Args:
        slices: how many.
        slice_mm: how thick they are.
        lung: of how far one is from a lung's middle, 1 at its edge in the axial plane, and of z from -1 to 1: which
            voxels are lung.
    """
    x, y, z = torch.meshgrid(*(torch.linspace(-1, 1, size) for size in (40, 38, slices)), indexing="ij")
    hu = torch.full(x.shape, -1000.0)
    hu[(x / 0.8) ** 2 + ((y - 0.1) / 0.55) ** 2 < 1] = 30.0
    hu[lung(((x.abs() - 0.4) / 0.25) ** 2 + ((y - 0.15) / 0.35) ** 2, z)] = -700.0
    spine = (x.abs() < 0.13) & ((y + 0.25).abs() < 0.12)
    labels = torch.zeros(x.shape, dtype=torch.uint8)
    for number, middle in enumerate((0.6, 0.0, -0.6)):
        labels[spine & ((z - middle).abs() < 0.28)] = number + 1
    hu[labels > 0] = 500.0
    sides = (9.0, 9.0, slice_mm)
    affine = np.diag([*sides, 1.0])
    affine[:3, 3] = [-side * (size - 1) / 2 for side, size in zip(sides, hu.shape, strict=True)]
    names = {1: "vertebra_T8", 2: "vertebra_T9", 3: "vertebra_T10"}
    return Subject(Volume(hu, affine), mask=labels, structures=names)


@contextmanager
def small_detector():
    """40 x 40 pixels of 10 mm and fewer samples, to be quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases_module, "PIXELS", 40)
        patch.setattr(cases_module, "PIXEL", 10.0)
        patch.setattr(cases_module, "SAMPLES", 120)
        yield


def clean(letter, view, subject):
    """A condition's image without noise and scatter."""
    usual = CONDITIONS[letter]
    technique = replace(usual.technique, scatter=0.0, least_quanta=math.inf)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CONDITIONS, letter, replace(usual, technique=technique))
        return make_case(letter, view, subject)
