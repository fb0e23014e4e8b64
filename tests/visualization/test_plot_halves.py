"""The picture of which parts of an X-ray disagree."""

from dataclasses import replace

import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver
from PIL import Image

from raygrad.pose import RigidTransform
from raygrad.registration import APART_MM, Halves, RegistrationResult, Status
from raygrad.registration._agreement import PARTS
from raygrad.visualization import plot_halves


@pytest.fixture
def result():
    """Of the second start the lower right quarter is 0.5 mm further down; the upper left one was not asked."""
    shifts = torch.zeros(2, 1, len(PARTS), 2, dtype=torch.float64)
    shifts[1, 0, PARTS.index("lower right")] = torch.tensor([0.0, 0.5])
    shifts[1, 0, PARTS.index("lower left")] = torch.tensor([-0.75 * APART_MM, 0.0])
    shifts[1, 0, PARTS.index("lower")] = torch.tensor([0.0, 0.3])
    shifts[1, 0, PARTS.index("upper left")] = torch.nan
    shifts[0] = torch.nan
    rows = torch.tensor([[[0.25, 0.5, 0.75]]]).expand(2, 1, 3).double()
    columns = rows[:, :, None].expand(2, 1, 4, 3)
    alone = torch.tensor([[torch.nan] * 4, [0.4, 2.5, 0.1, torch.nan]], dtype=torch.float64)
    mm = shifts[:, 0].norm(dim=-1)
    halves = Halves(mm, shifts, torch.zeros_like(mm), torch.zeros(2, 1, 16, 2), rows, columns, alone)
    pose = RigidTransform(torch.eye(4).expand(2, 4, 4))
    status = (Status.NO_MATCH, Status.INCONSISTENT)
    return RegistrationResult((pose,), torch.tensor([0.1, 0.9]), status, (), 1.0, halves=halves)


def arrows(ax):
    """Their colour, and to the right and downwards."""
    drawn = [child for child in ax.get_children() if isinstance(child, Quiver)]
    return [(tuple(arrow.get_facecolor()[0]), float(arrow.U[0]), float(arrow.V[0])) for arrow in drawn]


def test_arrows_point_to_where_parts_are(result, tmp_path):
    xray = torch.rand(1, 1, 40, 30)
    figure = Figure()
    (ax,) = plot_halves(xray, result, 1, "mine", figure.subplots())
    figure.savefig(tmp_path / "halves.png")
    with Image.open(tmp_path / "halves.png") as picture:
        assert picture.width > 100
    drawn = arrows(ax)
    assert (to_rgba("red"), 0.0, 0.5) in drawn
    assert (to_rgba("gold"), pytest.approx(-0.75 * APART_MM), 0.0) in drawn
    assert (to_rgba("deepskyblue"), 0.0, 0.0) in drawn
    assert sum(arrow[0] in (to_rgba("red"), to_rgba("gold"), to_rgba("deepskyblue")) for arrow in drawn) == 3
    assert "0.50 mm" in [text.get_text() for text in ax.texts]
    assert ax.get_xlabel().startswith("mine\nhalves: upper 0.00, lower 0.30")


def test_an_x_ray_is_taken_as_register_takes_it(result):
    (ax,) = plot_halves(torch.rand(40, 30), result, 1, axs=Figure().subplots())
    assert ax.images[0].get_array().shape == (40, 30)


def test_the_summary_says_which_part_and_which_half(result):
    line = result.summary(1).splitlines()[-1]
    assert "disagree by 0.50 mm in plane (worst: the lower right quarter)" in line
    assert "the lower half alone moves the pose by 2.5 mm" in line
    outcome = result.outcome(1)["halves"]
    assert outcome["upper left (mm)"] is None
    assert outcome["pose moved by one half alone"]["right (mm)"] is None
    assert "halves" not in result.outcome(0)
    assert result.only(1).halves.worst() == ("lower right", 0.5)


def test_what_cannot_be_drawn_is_refused(result):
    xray = torch.rand(1, 1, 40, 30)
    with pytest.raises(ValueError, match=r"whose parts were asked\. Got no match"):
        plot_halves(xray, result, 0)
    with pytest.raises(ValueError, match="whose parts were asked"):
        plot_halves(xray, replace(result, halves=None), 1)
    with pytest.raises(ValueError, match="1 view"):
        plot_halves([xray, xray], result, 1)
    with pytest.raises(ValueError, match="1 axes"):
        plot_halves(xray, result, 1, axs=Figure().subplots(1, 2))
