"""A pose that is off by degrees and millimetres on every axis, registered back."""

from typing import Any

import roma
import torch

from raygrad import registration
from raygrad.data import Subject
from raygrad.drr import DRR
from raygrad.evaluation import draw_points, make_generator, measure_errors
from raygrad.pose import RigidTransform, convert, make_matrix
from raygrad.visualization import plot_convergence, plot_overlay

DEGREES, MM = 15.0, 25.0


def make_poses() -> tuple[RigidTransform, RigidTransform]:
    """The true pose, from the front, and one turned and moved about the isocentre on every axis."""
    truth = convert(
        torch.zeros(1, 3), torch.tensor([[0.0, 850.0, 0.0]]), parameterization="euler_angles", convention="ZXY"
    )
    signs = torch.tensor([[1.0, -1.0, 1.0]])
    turn = roma.euler_to_rotmat("xyz", DEGREES * signs, degrees=True)
    return truth, truth.compose(RigidTransform(make_matrix(turn, -MM * signs)))


def draw_registration(subject: Subject, quick: bool = False) -> tuple[Any, str]:
    """A figure of the overlay before and after, and of the way there, and a sentence about it."""
    from matplotlib import pyplot as plt

    pixels = 100 if quick else 200
    camera: dict[str, Any] = {"sdd": 1020.0, "height": pixels, "delx": 400.0 / pixels}
    truth, start = make_poses()
    drr = DRR(subject, renderer="joseph", **camera)
    with torch.no_grad():
        xray = DRR(subject, renderer="siddon", **camera)(truth)
    result = registration.register(xray, drr, start)
    found = RigidTransform(result.pose[result.best])
    with torch.no_grad():
        before, after = drr(start), drr(found.to(drr.density))

    figure = plt.figure(figsize=(13, 8.2), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.25, 1))
    pictures, curves = halves
    axes = pictures.subplots(1, 3)
    plot_overlay(xray, xray, title="X-ray", axs=axes[0])
    plot_overlay(xray, before, title="before: X-ray orange, rendered from the start blue", axs=axes[1])
    plot_overlay(xray, after, title="after: grey where they agree", axs=axes[2])
    plot_convergence(result, truth=truth, axs=curves.subplots(1, 2))

    points = draw_points(subject, 1000, make_generator(0, "demo"))
    off, left = (measure_errors(pose, truth, points).mtre for pose in (start, found))
    meaning = (
        f"An X-ray registered to the CT: from a pose {off:.0f} mm off ({DEGREES:g} degrees and {MM:g} mm on every "
        f"axis) to one {left:.2g} mm off in {result.seconds:.2f} s, status '{result.status[result.best]}'. Distances "
        "are mTRE, the mean over points of the body. The X-ray is simulated, by a renderer other than the one that "
        "fits it."
    )
    return figure, meaning
