"""A small render through the compiled kernels: what every wheel has to do before it is published."""

import torch

from raygrad.data import load_example_ct
from raygrad.drr import DRR
from raygrad.kernels import available_backends

usable, reason = available_backends()["cpu"]
assert usable, reason
drr = DRR(load_example_ct(shape=(64, 64, 33)), sdd=1020.0, height=50, delx=8.0, backend="cpu")
rotation = torch.zeros(1, 3, requires_grad=True)
image = drr(rotation, torch.tensor([[0.0, 850.0, 0.0]]), parameterization="euler_angles", convention="ZXY")
image.sum().backward()
assert image.isfinite().all()
assert image.max() > 0
assert rotation.grad.isfinite().all()
print(f"rendered {tuple(image.shape)}: {reason}")
