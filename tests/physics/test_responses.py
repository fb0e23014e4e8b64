"""Responses: monotone, undone by their inverses, differentiable, and refused where they turn back."""

import math

import numpy as np
import pytest
import torch
from physics_laws import check_derivatives, images, number
from torch.testing import assert_close

from raygrad.physics import (
    Chain,
    Gamma,
    Inverted,
    Log,
    LookUpTable,
    Quantized,
    Response,
    Saturation,
    Sigmoid,
    Window,
)

CURVES = {
    "log": Log(0.01),
    "window": Window(0.2, 0.7),
    "sigmoid": Sigmoid(0.4, 0.5),
    "gamma": Gamma(0.6),
    "saturation": Saturation(0.8),
    "smooth saturation": Saturation(0.8, 0.05),
    "rising table": LookUpTable((0.0, 0.3, 1.2), (0.1, 0.5, 0.6)),
    "falling table": LookUpTable(torch.tensor([0.0, 0.3, 1.2]), torch.tensor([5.0, 1.0, 0.5])),
    "inverted": Inverted(),
    "8 bits": Quantized(8),
    "chain": Log().then(Window(0.0, 4.0), Gamma(0.8), Inverted()),
    "picture": Log().then(Sigmoid(1.0, 2.0), Quantized(8)),
}
every_curve = pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
SIGNALS = torch.linspace(-0.2, 1.3, 1501, dtype=torch.float64)


@every_curve
def test_curves_are_monotone_in_the_direction_that_they_say(curve):
    steps = curve(SIGNALS).diff()
    assert (steps >= 0).all() if curve.increasing else (steps <= 0).all()
    assert (steps != 0).any()
    assert curve.photometric_interpretation == ("MONOCHROME1" if curve.increasing else "MONOCHROME2")


@every_curve
def test_shapes_and_precision_are_kept(curve):
    for dtype in (torch.float32, torch.float64):
        image = images(2, 1, 3, 4, dtype=dtype)
        out = curve(image)
        assert (out.shape, out.dtype) == (image.shape, dtype)
        assert_close(curve(image.mT), out.mT)


INVERTIBLE = ("log", "sigmoid", "gamma", "smooth saturation", "rising table", "falling table", "inverted")


@pytest.mark.parametrize("name", INVERTIBLE)
def test_inverses_undo(name):
    signals = torch.linspace(0.02, 0.95, 50, dtype=torch.float64)
    assert_close(CURVES[name].inverse(CURVES[name](signals)), signals, rtol=1e-7, atol=1e-9)


def test_the_inverse_of_a_chain():
    chain = Log().then(Sigmoid(1.0, 2.0), Inverted(), Gamma(0.5))
    signals = torch.linspace(0.02, 0.95, 50, dtype=torch.float64)
    assert_close(chain.inverse(chain(signals)), signals, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["window", "saturation", "8 bits", "chain"])
def test_what_is_flat_cannot_be_undone(name):
    with pytest.raises(ValueError, match="Expected a response that can be undone"):
        CURVES[name].inverse(SIGNALS)


# --- what each is


def test_values_of_each():
    signals = torch.tensor([0.0, 0.001, 0.25, 0.5, 1.0], dtype=torch.float64)
    given = signals.tolist()
    assert_close(Log(0.001)(signals).tolist(), [-math.log(max(value, 0.001)) for value in given])
    assert_close(Window(0.25, 0.5)(signals).tolist(), [0.0, 0.0, 0.0, 1.0, 1.0])
    assert_close(Sigmoid(0.5, 0.2)(signals).tolist(), [1 / (1 + math.exp(-4 * (v - 0.5) / 0.2)) for v in given])
    assert_close(Gamma(0.5)(signals).tolist(), [math.sqrt(value) for value in given])
    assert_close(Saturation(0.4)(signals).tolist(), [min(value, 0.4) for value in given])
    assert_close(Inverted(1.0)(signals).tolist(), [1 - value for value in given])
    points, heights = (0.0, 0.1, 0.6), (1.0, 0.3, 0.2)
    assert_close(LookUpTable(points, heights)(signals).numpy(), np.interp(given, points, heights))
    assert_close(LookUpTable(points, heights)(SIGNALS).numpy(), np.interp(SIGNALS.numpy(), points, heights))


def test_a_smooth_saturation_becomes_a_sharp_one():
    assert_close(Saturation(0.8, 1e-6)(SIGNALS), Saturation(0.8)(SIGNALS), rtol=0, atol=1e-6)
    assert (Saturation(0.8, 0.05)(SIGNALS) < 0.8).all()


@pytest.mark.parametrize("bits", [1, 8, 12])
def test_quantized_values_are_steps_and_gradients_go_straight_through(bits):
    values = SIGNALS.clone().requires_grad_()
    out = Quantized(bits)(values)
    steps = 2**bits - 1
    assert_close(out.detach() * steps, (out.detach() * steps).round(), rtol=0, atol=1e-9)
    assert ((out - values.clamp(0, 1)).abs() <= 0.5 / steps + 1e-12).all()
    out.sum().backward()
    inside, outside = (SIGNALS > 1e-9) & (SIGNALS < 1 - 1e-9), (SIGNALS < -1e-9) | (SIGNALS > 1 + 1e-9)
    assert (values.grad[inside] == 1).all()
    assert (values.grad[outside] == 0).all()


def test_chains_compose_in_order():
    image = images(1, 1, 3, 4)
    first, second, third = Log(), Window(0.0, 3.0), Inverted()
    chain = first.then(second, third)
    assert_close(chain(image), third(second(first(image))))
    assert_close(Chain([first.then(second), third])(image), chain(image))
    assert chain.increasing
    assert not first.then(second).increasing


# --- derivatives


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        (Log, (0.2,)),
        (Window, (0.2, 0.7)),
        (Sigmoid, (0.4, 0.3)),
        (Gamma, (0.7,)),
        (Saturation, (0.6,)),
        (Saturation, (0.6, 0.05)),
        (Inverted, (1.0,)),
    ],
)
def test_derivatives(kind, numbers):
    check_derivatives(lambda image, *numbers: kind(*numbers)(image), *numbers, second=True)


def test_derivatives_of_tables_and_chains():
    check_derivatives(lambda image, outputs: LookUpTable((0.0, 0.33, 1.0), outputs)(image), [0.0, 0.7, 1.0])
    check_derivatives(lambda image, inputs: LookUpTable(inputs, (1.0, 0.7, 0.0))(image), [0.0, 0.33, 1.0])

    def picture(image, low, high, gamma):
        return Log().then(Window(low, high), Gamma(gamma))(image)

    check_derivatives(picture, -0.5, 4.0, 0.7)


def test_derivatives_where_curves_bend_are_finite():
    edges = torch.tensor([-1.0, 0.0, 1e-30, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    for curve in CURVES.values():
        (slope,) = torch.autograd.grad(curve(edges).sum(), edges)
        assert slope.isfinite().all()


# --- refused


def test_tables_that_turn_back_are_refused():
    with pytest.raises(ValueError, match=r"Expected outputs that only rise or only fall. Got 0, 2, 1\."):
        LookUpTable((0.0, 1.0, 2.0), (0.0, 2.0, 1.0))
    with pytest.raises(ValueError, match=r"Expected inputs that rise. Got 0, 1, 1\."):
        LookUpTable((0.0, 1.0, 1.0), (0.0, 1.0, 2.0))
    with pytest.raises(ValueError, match="Expected as many outputs as inputs, two at least"):
        LookUpTable((0.0, 1.0, 2.0), (0.0, 1.0))
    with pytest.raises(ValueError, match="Expected outputs as finite numbers in a row"):
        LookUpTable((0.0, 1.0), (0.0, math.nan))
    with pytest.raises(ValueError, match="can be undone"):
        LookUpTable((0.0, 1.0, 2.0), (0.0, 1.0, 1.0)).inverse(SIGNALS)


def test_empty_chains_are_refused():
    with pytest.raises(ValueError, match="Expected at least one response"):
        Chain(())
    with pytest.raises(NotImplementedError):
        Response()(SIGNALS)


def test_a_numbers_gradient_does_not_disturb_its_check():
    window = Window(number(0.2), number(0.7))
    assert window(SIGNALS).requires_grad
    assert Saturation(number(0.5), number(0.1)).inverse(torch.tensor([0.3], dtype=torch.float64)).requires_grad
