"""What the tests of the physics' effects share: images, numbers with gradients, and laws that operators obey."""

import torch
from torch.autograd import gradcheck, gradgradcheck


def images(*shape, dtype=torch.float64, seed=0):
    """Shares of the open field between 0.05 and 0.95, reproducibly."""
    generator = torch.Generator().manual_seed(seed)
    return 0.05 + 0.9 * torch.rand(shape, generator=generator, dtype=dtype)


def number(value):
    """A number that asks for its gradient."""
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def check_derivatives(function, *numbers, shape=(2, 1, 2, 3), second=False):
    """The derivatives of a function of images and numbers, by all of them."""
    inputs = (images(*shape).requires_grad_(), *(number(value) for value in numbers))
    assert gradcheck(function, inputs)
    if second:
        assert gradgradcheck(function, inputs)


def check_adjoint(operator, shape):
    """<A x, y> is <x, A^T y>, the latter by autograd, and A is linear."""
    x, y = images(*shape, seed=1).requires_grad_(), images(*shape, seed=2)
    (back,) = torch.autograd.grad(operator(x), x, y)
    torch.testing.assert_close((operator(x) * y).sum(), (x * back).sum(), rtol=1e-12, atol=0)
    torch.testing.assert_close(operator(2 * x + 3 * y), 2 * operator(x) + 3 * operator(y), rtol=1e-12, atol=1e-12)


def second_moments(image, pixel_mm):
    """Of one image (height, width) about its mean place, in mm^2 along the rows' axis and the columns'."""
    found = []
    for axis, side in enumerate(pixel_mm):
        profile = image.sum(1 - axis)
        places = side * torch.arange(len(profile), dtype=image.dtype)
        mean = (places * profile).sum() / profile.sum()
        found.append(float(((places - mean) ** 2 * profile).sum() / profile.sum()))
    return found


def point(height, width, dtype=torch.float64):
    """An image of one bright pixel in its middle."""
    image = torch.zeros(1, 1, height, width, dtype=dtype)
    image[..., height // 2, width // 2] = 1
    return image
