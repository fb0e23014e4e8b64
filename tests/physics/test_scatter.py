"""Scatter and grids: kernels summed up one by one, ratios that are reached, and the grid's textbook figures."""

import math

import pytest
import torch
from physics_laws import check_derivatives, images, number
from torch.testing import assert_close

from raygrad.physics import AntiScatterGrid, Scatter

PIXEL = (8.0, 5.0)


def cylinder(height=40, width=48, densest=4.0):
    """The transmission of a cylinder that fills the middle of the image, and where it is."""
    across = torch.linspace(-1.5, 1.5, width, dtype=torch.float64)
    lengths = densest * (1 - across**2).clamp_min(0).sqrt().expand(1, 1, height, width)
    return torch.exp(-lengths), lengths > 0


def counted(primary):
    """How much pixels count as behind the patient."""
    return primary.log() ** 4 / (primary.log() ** 4 + 0.25**4)


def summed_one_by_one(primary, open_field, scatter):
    """Every pixel's kernel at every pixel, as the docstring has it, before it is scaled."""
    height, width = primary.shape
    rows, columns = torch.arange(height).double() * PIXEL[0], torch.arange(width).double() * PIXEL[1]
    total = torch.zeros_like(primary)
    for i in range(height):
        for j in range(width):
            share = float(primary[i, j] / open_field)
            if not 0 < share < 1:
                continue
            amplitude = float(primary[i, j]) * share**scatter.alpha * (-math.log(share)) ** scatter.beta
            squares = (rows - rows[i])[:, None] ** 2 + (columns - columns[j]) ** 2
            for part, sigma in ((1 - scatter.wide_share, scatter.narrow_mm), (scatter.wide_share, scatter.wide_mm)):
                area = PIXEL[0] * PIXEL[1] / (2 * math.pi * sigma**2)
                total += part * amplitude * area * torch.exp(-squares / (2 * sigma**2))
    return total


def test_scatter_is_the_sum_of_its_kernels():
    primary = 3.0 * images(1, 1, 9, 12)
    primary[..., :3] = 3.0  # open
    primary[..., 4, 5] = 0.0  # opaque
    scatter = Scatter(0.7, alpha=-0.2, beta=1.4, narrow_mm=12.0, wide_mm=60.0, wide_share=0.3, reference=2.0)
    expected = summed_one_by_one(primary[0, 0], 3.0, scatter) * 0.7 * math.exp(-0.2 * 2.0) / 2.0**1.4
    assert_close(scatter.scattered(primary, 3.0, pixel_mm=PIXEL)[0, 0], expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("ratio", [0.0, 0.2, 1.0, 2.0, 5.0])
def test_the_ratio_is_reached_behind_the_patient(ratio):
    primary, _ = cylinder()
    behind = primary < math.exp(-0.25)
    scattered = Scatter(ratio).scattered(primary, 1.0, pixel_mm=PIXEL)
    found = scattered[behind].sum() / primary[behind].sum()
    assert_close(float(found), ratio, rtol=0.02, atol=0)
    weights = counted(primary)
    assert_close(float((weights * scattered).sum() / (weights * primary).sum()), ratio, rtol=1e-12, atol=0)
    assert (scattered >= 0).all()


def test_every_view_reaches_the_ratio():
    thin, thick = cylinder(densest=1.0)[0], cylinder(densest=6.0)[0]
    both = Scatter(1.5).scattered(torch.cat([thin, thick]), 1.0, pixel_mm=PIXEL)
    for alone, together in zip((thin, thick), both.split(1), strict=True):
        assert_close(Scatter(1.5).scattered(alone, 1.0, pixel_mm=PIXEL), together, rtol=1e-9, atol=0)


def test_a_wide_slab_scatters_what_its_line_integral_says():
    slab = torch.full((1, 1, 81, 81), math.exp(-3.0), dtype=torch.float64)
    usual = Scatter(0.8, narrow_mm=10.0, wide_mm=30.0, reference=3.0)
    there = usual.scattered(slab, 1.0, pixel_mm=PIXEL)[0, 0, 40, 40]
    assert_close(float(there / slab[0, 0, 40, 40]), 0.8, rtol=1e-6, atol=0)
    thicker = usual.scattered(slab.square(), 1.0, pixel_mm=PIXEL)[0, 0, 40, 40] / slab[0, 0, 40, 40].square()
    assert_close(float(thicker), 1.6, rtol=1e-6, atol=0)  # twice as often turned aside


def test_without_anything_in_the_way_nothing_scatters():
    open_field = torch.full((2, 1, 6, 7), 40.0)
    for scatter in (Scatter(2.0), Scatter(2.0, reference=3.0), Scatter(1.0, beta=0.0)):
        assert (scatter.scattered(open_field, 40.0, pixel_mm=PIXEL) == 0).all()
        assert_close(scatter(open_field, 40.0, pixel_mm=PIXEL), open_field)


def test_behind_lead_there_is_scatter_and_no_primary():
    primary, _ = cylinder()
    primary[..., 15:25, 20:28] = 0.0
    assert (Scatter(1.0)(primary.float(), 1.0, pixel_mm=PIXEL)[..., 15:25, 20:28] > 0).all()
    dark = torch.zeros(1, 1, 5, 6)
    assert (Scatter(1.0)(dark, 1.0, pixel_mm=PIXEL) == 0).all()


def test_scatter_is_smooth_and_falls_off_towards_the_edges():
    primary, _ = cylinder()
    primary[..., ::2, ::2] *= 0.2
    scattered = Scatter(1.0, narrow_mm=30.0).scattered(primary, 1.0, pixel_mm=PIXEL)[0, 0]
    assert (scattered.diff(dim=0).abs() < 0.1 * scattered.max()).all()
    assert scattered[0, 24] < 0.8 * scattered[20, 24]


def test_the_open_field_may_be_an_image_and_units_do_not_matter():
    primary, _ = cylinder()
    heel = torch.linspace(0.7, 1.2, 48, dtype=torch.float64).expand(1, 1, 40, 48)
    scatter = Scatter(1.2, alpha=0.3)
    by_heel = scatter.scattered(primary * heel * 50, heel * 50, pixel_mm=PIXEL)
    assert_close(by_heel, 50 * scatter.scattered(primary * heel, heel, pixel_mm=PIXEL), rtol=1e-12, atol=0)
    assert (scatter.scattered(heel, heel, pixel_mm=PIXEL) == 0).all()


def test_single_precision_and_kernels_wider_than_the_image():
    primary, _ = cylinder(6, 7)
    wide = Scatter(1.0, narrow_mm=500.0, wide_mm=2000.0)
    single = wide(primary.float(), 1.0, pixel_mm=PIXEL)
    assert single.dtype == torch.float32
    assert_close(single.double(), wide(primary, 1.0, pixel_mm=PIXEL), rtol=1e-6, atol=0)
    assert (
        wide.scattered(primary, 1.0, pixel_mm=PIXEL).std() < 1e-2 * wide.scattered(primary, 1.0, pixel_mm=PIXEL).mean()
    )


# --- grids


def test_a_grids_figures():
    grid = AntiScatterGrid(0.7, 0.1)
    assert grid.selectivity == pytest.approx(7.0)
    assert grid.total_transmission(0.0) == 0.7
    assert grid.bucky_factor(4.0) == pytest.approx(5 / (0.7 + 0.4))
    assert grid.contrast_improvement(4.0) == pytest.approx(0.7 * grid.bucky_factor(4.0))
    assert AntiScatterGrid(1.0, 1.0).bucky_factor(3.0) == 1


def test_the_bucky_factor_brings_the_signal_back():
    primary, _ = cylinder()
    grid, scatter, behind = AntiScatterGrid(), Scatter(2.0), counted(primary)
    without = (behind * scatter(primary, 1.0, pixel_mm=PIXEL)).sum()
    after = (behind * scatter(primary, 1.0, pixel_mm=PIXEL, grid=grid)).sum()
    assert_close(without, grid.bucky_factor(2.0) * after, rtol=1e-12, atol=0)


def test_primary_and_scatter_pass_a_grid_each_in_its_way():
    primary, _ = cylinder()
    alone = Scatter(1.0).scattered(primary, 1.0, pixel_mm=PIXEL)
    both = Scatter(1.0)(primary, 1.0, pixel_mm=PIXEL, grid=AntiScatterGrid(0.6, 0.2))
    assert_close(both, 0.6 * primary + 0.2 * alone, rtol=1e-12, atol=0)


# --- derivatives


@pytest.mark.parametrize("reference", [None, 3.0])
def test_derivatives(reference):
    def scattered(image, ratio, alpha, beta, narrow, wide, share, open_field, passed, leaked):
        scatter = Scatter(ratio, alpha, beta, narrow, wide, share, reference)
        return scatter(image, open_field, pixel_mm=PIXEL, grid=AntiScatterGrid(passed, leaked))

    check_derivatives(scattered, 1.0, 0.1, 1.2, 12.0, 40.0, 0.4, 1.1, 0.7, 0.1, shape=(1, 1, 3, 4))


def test_derivatives_by_the_reference_and_the_pixels():
    def scattered(image, reference, dely, delx):
        return Scatter(1.0, 0.2, reference=reference)(image, 1.1, pixel_mm=(dely, delx))

    check_derivatives(scattered, 3.0, 8.0, 5.0, shape=(1, 1, 2, 3), second=True)


def test_no_derivative_is_lost_or_infinite_at_open_and_opaque_pixels():
    primary = torch.tensor([[1.0, 0.0, 0.5, 1.0]], dtype=torch.float64)[None, None].requires_grad_()
    alpha, beta = number(-0.3), number(0.5)
    Scatter(1.0, alpha, beta, reference=2.0)(primary, 1.0, pixel_mm=PIXEL).sum().backward()
    for gradient in (primary.grad, alpha.grad, beta.grad):
        assert gradient.isfinite().all()
        assert (gradient != 0).any()
