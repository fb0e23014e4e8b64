"""Phantoms: exact line integrals against simple formulas, quadrature, and the laws that they obey."""

import math

import numpy as np
import pytest
import roma
import torch
from torch.autograd import gradcheck

from raygrad.phantoms._shapes import Box, Ellipsoid, Gaussian, Phantom, shepp_logan

DTYPE = torch.float64
ROTATION = roma.rotvec_to_rotmat(torch.tensor([0.3, -0.5, 0.8], dtype=DTYPE))
CENTER = [5.0, -7.0, 3.0]
SHAPES = [
    Ellipsoid(CENTER, [20.0, 30.0, 12.0], ROTATION, 0.7),
    Box(CENTER, [20.0, 30.0, 12.0], ROTATION, 0.7),
    Gaussian(CENTER, [9.0, 14.0, 6.0], ROTATION, 0.7),
]
NAMES = [type(shape).__name__ for shape in SHAPES]


def rays(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Segments of every kind: through, beside, starting inside, ending inside."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randn(2, count, 3, dtype=DTYPE, generator=generator) * 40
    target = torch.randn(2, count, 3, dtype=DTYPE, generator=generator) * 25
    return source, target


def segment(start: list[float], end: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([[start]], dtype=DTYPE), torch.tensor([[end]], dtype=DTYPE)


@pytest.mark.parametrize("height", [0.0, 3.0, 9.999, 10.0, 12.0])
def test_ball_chord_is_pythagoras(height):
    ball = Ellipsoid([0, 0, 0], [10, 10, 10], value=2.0)
    chord = ball.line_integrals(*segment([-1e4, height, 0], [1e4, height, 0])).item()
    assert chord == pytest.approx(2 * 2 * math.sqrt(max(0.0, 100 - height**2)), abs=1e-9)


def test_segments_that_start_or_end_inside():
    ball, box = Ellipsoid([0, 0, 0], [10, 20, 30]), Box([0, 0, 0], [10, 20, 30])
    for shape in (ball, box):
        assert shape.line_integrals(*segment([0, 0, 0], [50, 0, 0])).item() == pytest.approx(10)
        assert shape.line_integrals(*segment([0, -99, 0], [0, 5, 0])).item() == pytest.approx(25)
        assert shape.line_integrals(*segment([0, 0, 1], [0, 0, 4])).item() == pytest.approx(3)
        assert shape.line_integrals(*segment([20, 0, 0], [50, 0, 0])).item() == 0
        assert shape.line_integrals(*segment([1, 1, 1], [1, 1, 1])).item() == 0


def test_box_diagonal_and_faces():
    box = Box([1, 2, 3], [1, 2, 3])
    assert box.line_integrals(*segment([-2, -4, -6], [4, 8, 12])).item() == pytest.approx(2 * math.sqrt(14))
    neighbours = Phantom([Box([0, 0, 0], [5, 5, 5]), Box([10, 0, 0], [5, 5, 5])])
    assert neighbours.line_integrals(*segment([5, -50, 1], [5, 50, 1])).item() == pytest.approx(10)


def test_gaussian_through_its_centre():
    blob = Gaussian([1, 2, 3], [4, 4, 4], value=3.0)
    integral = blob.line_integrals(*segment([-500, 2, 3], [500, 2, 3])).item()
    assert integral == pytest.approx(3 * 4 * math.sqrt(2 * math.pi), rel=1e-12)


@pytest.mark.parametrize("shape", [*SHAPES, Phantom(SHAPES)], ids=[*NAMES, "Phantom"])
def test_quadrature_agrees(shape):
    source, target = rays(20)
    steps = (torch.arange(4000, dtype=DTYPE) + 0.5) / 4000
    points = source[:, :, None] + steps[:, None] * (target - source)[:, :, None]
    length = (target - source).norm(dim=-1)
    torch.testing.assert_close(
        shape.line_integrals(source, target), shape.evaluate(points).mean(-1) * length, atol=0.08, rtol=1e-3
    )


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_moving_shape_and_rays_together_changes_nothing(shape):
    source, target = rays(30)
    turn = roma.rotvec_to_rotmat(torch.tensor([-0.7, 0.2, 1.1], dtype=DTYPE))
    shift = torch.tensor([3.0, -8.0, 1.0], dtype=DTYPE)
    center, extent, rotation, value = shape._tensors
    moved = type(shape)(turn @ center + shift, extent, turn @ rotation, value)
    expected = shape.line_integrals(source, target)
    assert (expected > 0).any()
    torch.testing.assert_close(moved.line_integrals(source @ turn.T + shift, target @ turn.T + shift), expected)


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_reversed_split_and_scaled_segments(shape):
    source, target = rays(30)
    whole = shape.line_integrals(source, target)
    middle = source + 0.4 * (target - source)
    torch.testing.assert_close(shape.line_integrals(target, source), whole)
    torch.testing.assert_close(shape.line_integrals(source, middle) + shape.line_integrals(middle, target), whole)
    doubled = type(shape)(*shape._tensors[:3], 2 * shape._tensors[3])
    torch.testing.assert_close(doubled.line_integrals(source, target), 2 * whole)


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_gradients_of_rays_and_shape(shape):
    source, target = (points[:1, :6].requires_grad_() for points in rays(6, seed=1))
    center, extent, _, value = (tensor.clone().requires_grad_() for tensor in shape._tensors)
    rotvec = torch.tensor([0.3, -0.5, 0.8], dtype=DTYPE, requires_grad=True)

    def image(source, target, center, extent, rotvec, value):
        return type(shape)(center, extent, roma.rotvec_to_rotmat(rotvec), value).line_integrals(source, target)

    assert (image(source, target, center, extent, rotvec, value) > 0.1).any()
    assert gradcheck(image, (source, target, center, extent, rotvec, value))


@pytest.mark.parametrize("shape", SHAPES[:2], ids=NAMES[:2])
def test_missed_and_empty_rays_have_zero_gradients(shape):
    source = torch.tensor([[[0.0, 500.0, 0.0], [400.0, 0.0, 0.0], [1.0, 1.0, 1.0]]], dtype=DTYPE, requires_grad=True)
    target = torch.tensor([[[500.0, 500.0, 0.0], [400.0, 9.0, 0.0], [1.0, 1.0, 1.0]]], dtype=DTYPE, requires_grad=True)
    integrals = shape.line_integrals(source, target)
    gradients = torch.autograd.grad(integrals.sum(), (source, target))
    assert not integrals.any()
    assert not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_voxels_sum_to_the_volume(shape):
    spacing = np.array([4.0, 6.0, 5.0])
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-70, -80, -60]
    voxels = shape.voxelize((40, 25, 26), affine, supersample=4, dtype=DTYPE)
    extent = shape._tensors[1].prod().item()
    ideal = {"Ellipsoid": 4 / 3 * math.pi, "Box": 8.0, "Gaussian": (2 * math.pi) ** 1.5}[type(shape).__name__]
    assert voxels.sum().item() * spacing.prod() == pytest.approx(0.7 * ideal * extent, rel=3e-3)
    assert voxels.min() >= 0
    assert voxels.max() <= 0.7 + 1e-12


def test_voxels_are_centred_on_integers_and_clipped():
    box = Box([0, 0, 0], [1, 1, 1])
    voxels = box.voxelize((3, 3, 3), np.diag([2.0, 2.0, 2.0, 1.0]))
    assert voxels[0, 0, 0] == 1
    assert voxels.sum() == 1
    far = np.eye(4)
    far[:3, 3] = 100
    assert not box.voxelize((3, 3, 3), far).any()
    oblique = np.eye(4)
    oblique[:3, :3] = 0.5 * ROTATION.numpy()
    oblique[:3, 3] = -0.5 * ROTATION.numpy() @ [10, 10, 10]
    assert box.voxelize((21, 21, 21), oblique, 3).sum().item() * 0.125 == pytest.approx(8, rel=0.02)


def test_shepp_logan_values():
    head = shepp_logan(100.0)
    assert len(head) == 10
    points = torch.tensor([[0, 90, 0], [0, 60, 40], [22, 0, 0], [0, 35, -15], [0, 0, 95]], dtype=DTYPE)
    torch.testing.assert_close(head.evaluate(points), torch.tensor([1.0, 0.2, 0.0, 0.3, 0.0], dtype=DTYPE))
    source, target = segment([0, -500, 0], [0, 500, 0])
    through = 184 - 0.8 * 174.8 + 0.1 * (50 * math.sqrt(1 - (15 / 41) ** 2) + 4.6)
    assert head.line_integrals(source, target).item() == pytest.approx(through)


def test_float32_rays_are_computed_in_float64():
    source, target = (points.float() for points in rays(10))
    exact = SHAPES[0].line_integrals(source.double(), target.double())
    result = Phantom(SHAPES[:1]).line_integrals(source, target)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), exact, rtol=1e-7, atol=1e-7)


def test_sources_may_be_shared():
    source, target = rays(7)
    shared = SHAPES[0].line_integrals(source[:, :1], target)
    torch.testing.assert_close(shared, SHAPES[0].line_integrals(source[:, :1].expand_as(target).clone(), target))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Ellipsoid([0, 0], [1, 1, 1]), "center must be three finite numbers"),
        (lambda: Ellipsoid([0, 0, 0], [1, -1, 1]), "semi_axes must be positive"),
        (lambda: Box([0, 0, 0], [1, 1, math.nan]), "half_extents must be three finite numbers"),
        (lambda: Box([0, 0, 0], [1, 1, 1], -torch.eye(3)), "orthonormal with determinant"),
        (lambda: Gaussian([0, 0, 0], [1, 1, 1], value=math.inf), "value must be one finite number"),
        (lambda: SHAPES[0].voxelize((1, 2), np.eye(4)), "shape must be three positive integers"),
        (lambda: SHAPES[0].voxelize((1, 2, 3), np.eye(4), 0), "supersample must be at least 1"),
        (lambda: shepp_logan(0.0), "radius must be positive"),
    ],
)
def test_bad_input_is_explained(build, message):
    with pytest.raises(ValueError, match=message):
        build()
