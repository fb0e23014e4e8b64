"""Exponential and logarithm of SO(3) and SE(3).

roma has those of SO(3). Ours share their coefficients with SE(3), which roma does not have, and are written in the
*squared* angle, which makes them analytic at the identity: second derivatives are right there too (roma's are NaN).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._precision import full_precision
from raygrad.pose._rotations import cross_matrix, identity_like, matrix_to_quaternion
from raygrad.types import Matrices, Rotations, Vectors

Twists = Float[Tensor, "batch 6"]

# Below this squared angle the coefficients are power series: long enough for float64, and far enough from zero that
# beyond it the closed forms (differences of near-equal numbers, divided by small ones) lose no digits that matter.
_SERIES_BELOW = 0.25
_TERMS = 7
_INVERSE_JACOBIAN = [1 / 12, 1 / 720, 1 / 30240, 1 / 1209600, 1 / 47900160, 691 / 1307674368000, 1 / 74724249600]
_LOGARITHM_SERIES_BELOW = 0.01
_ARCTANGENT = [1 / (2 * k + 1) for k in range(8)]


@full_precision
def so3_exp_map(rotation_vector: Vectors) -> Rotations:
    """Rodrigues' formula: the rotations about the vectors' directions by their lengths in radians.

    Analytic: derivatives of every order are right at zero.
    """
    sine, cosine, _ = _exponential_coefficients(rotation_vector.square().sum(-1)[:, None, None])
    cross = cross_matrix(rotation_vector)
    return torch.addcmul(torch.addcmul(identity_like(cross), sine, cross), cosine, cross @ cross)


@full_precision
def so3_log_map(matrix: Rotations) -> Vectors:
    """The rotation vectors of rotations: axis times the angle in [0, pi].

    By way of the quaternion, which unlike the trace keeps its precision near the identity and near pi. At exactly pi
    the sign of the axis is free.
    """
    real, imaginary = matrix_to_quaternion(matrix).split([1, 3], dim=-1)
    sine_squared = imaginary.square().sum(-1, keepdim=True)
    # The vector is 2 atan(s / w) / s times the imaginary part, s its length: analytic in (s / w)^2 where s is small.
    small = sine_squared < _LOGARITHM_SERIES_BELOW
    sine = torch.where(small, 1.0, sine_squared).sqrt()
    safe_real = torch.where(small, real, 1.0)
    series = _polynomial(-sine_squared / safe_real.square(), _ARCTANGENT) / safe_real
    return 2 * torch.where(small, series, torch.atan2(sine, real) / sine) * imaginary


@full_precision
def se3_exp_map(twist: Twists) -> Matrices:
    """The rigid transforms exp([[w^, v], [0, 0]]) of twists (B, 6) = [v | w], as matrices for column vectors.

    exp = [[R, V v], [0, 1]], V = I + (1 - cos a) / a^2 w^ + (a - sin a) / a^3 w^^2, a = |w| (Blanco, "A tutorial on
    SE(3) transformation parameterizations", 2010, section 9.4.2). Analytic: right derivatives at zero.
    """
    velocity, rotation_vector = twist.split(3, dim=-1)
    sine, cosine, cubic = _exponential_coefficients(rotation_vector.square().sum(-1)[:, None, None])
    cross = cross_matrix(rotation_vector)
    squared = cross @ cross
    identity = identity_like(cross)
    rotation = torch.addcmul(torch.addcmul(identity, sine, cross), cosine, squared)
    left_jacobian = torch.addcmul(torch.addcmul(identity, cosine, cross), cubic, squared)
    return homogeneous(rotation, left_jacobian @ velocity.unsqueeze(-1))


@full_precision
def se3_log_map(matrix: Matrices) -> Twists:
    """The twists (B, 6) = [v | w] of rigid transforms (B, 4, 4) for column vectors, |w| in [0, pi].

    v = V^-1 t with V^-1 = I - w^ / 2 + (1 - (a / 2) cot(a / 2)) / a^2 w^^2: the inverse of :func:`se3_exp_map`.
    """
    rotation_vector = so3_log_map(matrix[:, :3, :3])
    angle_squared = rotation_vector.square().sum(-1)[:, None, None]
    small = angle_squared < _SERIES_BELOW
    safe = torch.where(small, 1.0, angle_squared)
    half = safe.sqrt() / 2
    closed = (1 - half * half.cos() / half.sin()) / safe
    quadratic = torch.where(small, _polynomial(angle_squared, _INVERSE_JACOBIAN), closed)
    cross = cross_matrix(rotation_vector)
    inverse_jacobian = torch.addcmul(identity_like(cross) - cross / 2, quadratic, cross @ cross)
    return torch.cat([(inverse_jacobian @ matrix[:, :3, 3:]).squeeze(-1), rotation_vector], dim=-1)


def homogeneous(rotation: Tensor, column: Tensor) -> Matrices:
    """The matrices [[R, t], [0, 1]] of rotations (B, 3, 3) and columns (B, 3, 1); either batch may be 1."""
    batch = max(len(rotation), len(column))
    if len(rotation) != len(column):
        rotation, column = rotation.expand(batch, 3, 3), column.expand(batch, 3, 1)
    top = torch.cat([rotation, column], dim=-1)
    bottom = torch.eye(4, dtype=top.dtype, device=top.device)[3:].expand(batch, 1, 4)
    return torch.cat([top, bottom], dim=-2)


def _exponential_coefficients(angle_squared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The numbers sin a / a, (1 - cos a) / a^2 and (a - sin a) / a^3 as smooth functions of a^2."""
    small = angle_squared < _SERIES_BELOW
    # The unused branch gets a harmless argument: torch.where passes zero times its derivative, and 0 * inf is NaN.
    safe = torch.where(small, 1.0, angle_squared)
    angle = safe.sqrt()
    sine = angle.sin() / angle
    closed = sine, (1 - angle.cos()) / safe, (1 - sine) / safe
    series = _alternating_series(angle_squared)
    first, second, third = (torch.where(small, near, far) for near, far in zip(series, closed, strict=True))
    return first, second, third


def _alternating_series(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three series 1 / n! - x / (n + 2)! + x^2 / (n + 4)! - ... for n = 1, 2 and 3.

    By Horner's rule for the three at once: a term is the one before it times -x / ((n + 2 k - 1) (n + 2 k)).
    """
    last = 2 * _TERMS + 1
    lower = torch.arange(2, last + 1, dtype=x.dtype, device=x.device).unfold(0, 3, 2)  # rows k, columns n
    ratios = (-x.unsqueeze(-1).unsqueeze(-1) / (lower * (lower + 1))).unbind(-2)
    total = 1 + ratios[-1]
    for ratio in ratios[-2::-1]:
        total = 1 + ratio * total
    first, second, third = total.unbind(-1)
    return first, second / 2, third / 6


def _polynomial(x: Tensor, coefficients: list[float]) -> Tensor:
    """The polynomial with these coefficients, lowest first, by Horner's rule."""
    total = x * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        total = (total + coefficient) * x
    return total + coefficients[0]
