"""Physics on a GPU: the same images, made where the volume is, and gradients that reach numbers on the CPU."""

import pytest
import torch
from physics_cases import beam, body, drr_of, pose_of, subject_of
from pretended_gpu import DEVICE, let_kernels_serve_it
from scene_cases import cone_views

from raygrad.physics import Heel, Physics, Spectrum, Tissues, render
from raygrad.scene import Body, Capsule, Scene

# Without noise: this device has no generators.
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def gpu_kernels(monkeypatch):
    let_kernels_serve_it(monkeypatch)


@pytest.mark.parametrize(
    "physics",
    [
        beam(),
        Physics.monochromatic(60.0),
        Physics.preset("radiography", heel=Heel(), inverse_square=True),
        Physics.preset("fluoroscopy", tissues=Tissues(contrast_labels=[1])),
    ],
)
def test_images_are_the_same(physics):
    mask = (body() > 300).to(torch.uint8)
    subject = subject_of(body(dtype=torch.float32), mask=mask)
    here, there = drr_of(subject), drr_of(subject).to(DEVICE)
    pose = pose_of(dtype=torch.float32)
    for quantity in ("line integrals", *(["counts", "picture"] if physics.dose_ugy else [])):
        image = render(there, pose.to(DEVICE), physics, quantity=quantity)
        assert image.device == DEVICE
        torch.testing.assert_close(image.cpu(), render(here, pose, physics, quantity=quantity), rtol=1e-4, atol=1e-5)


def test_gradients_reach_numbers_on_the_cpu():
    kvp = torch.tensor(80.0, requires_grad=True)
    bone = torch.tensor(1.0, requires_grad=True)
    slopes = []
    for device in ("cpu", DEVICE):
        physics = Physics(Spectrum.tube(kvp), tissues=Tissues(densities={"bone": bone}), dose_ugy=torch.tensor(1.0))
        image = render(drr_of(body(dtype=torch.float32)).to(device), pose_of(dtype=torch.float32).to(device), physics)
        slopes.append(torch.autograd.grad(image.sum().cpu(), (kvp, bone)))
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_scenes_are_the_same():
    views = cone_views(12, delx=4.0, dtype=torch.float32)
    bodies = [Body(subject_of(body(dtype=torch.float32))), Capsule((-12, 0, 1), (12, 1, 0), 2.0, material="steel")]
    physics = Physics.preset("cbct")
    image = render(Scene(bodies, device=DEVICE), views, physics)
    assert image.device == DEVICE
    torch.testing.assert_close(image.cpu(), render(Scene(bodies), views, physics), rtol=1e-4, atol=1e-5)
