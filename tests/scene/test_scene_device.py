"""Scenes on a GPU: the same images and derivatives, where they are asked for."""

import pytest
import torch
from pretended_gpu import DEVICE, let_kernels_serve_it
from scene_cases import cone_views, cube, shifted, water

from raygrad.scene import Body, Capsule, Cone, Cylinder, Mesh, Scene, Spheres

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def gpu_kernels(monkeypatch):
    let_kernels_serve_it(monkeypatch)


def ct():
    mask = torch.zeros(20, 20, 20, dtype=torch.uint8)
    mask[8:13, 6:12, 7:14] = 2
    return water(mask=mask)


def bodies():
    subject = ct()
    return [
        Body(subject),
        Body(subject, labels=2, name="part"),
        Mesh(cube(5.0), material=0.3, unit="mm", name="cube"),
        Capsule((-12, 0, 1), (12, 1, 0), 2.0, material=0.7),
        Cylinder((0, -10, 0), (1, 10, 0), 3.0, material=0.2),
        Cone((0, 0, -10), (0, 1, 10), 4.0, 1.0, material=torch.tensor(0.9)),
        Spheres([[3, 3, 0], [-3, 0, 2]], [3.0, 2.0], material=0.4),
    ]


@pytest.mark.parametrize("parts", [slice(None), slice(2, None), slice(2, 3)], ids=["all", "solids", "mesh"])
def test_images_are_made_there_and_are_the_same(parts):
    views = cone_views(12, delx=4.0, angles=((0.3, 0.4, 0.1), (0.0, 0.0, 0.0)), dtype=torch.float32)
    here, there = Scene(bodies()[parts]), Scene(bodies()[parts], device=DEVICE)
    poses = {"cube": shifted(1.0, 2.0, 3.0)}
    for channels in (False, True):
        image = there.render(views, poses=poses, channels=channels)
        assert image.device == DEVICE
        torch.testing.assert_close(image.cpu(), here.render(views, poses=poses, channels=channels))
    image, derivatives = here.render_with_jacobian(views, poses=poses)
    again, same = there.render_with_jacobian(views, poses=poses)
    torch.testing.assert_close(again.cpu(), image)
    pivot = torch.zeros(3)
    for name, one in derivatives.items():
        assert same[name].by_ends.device == DEVICE
        torch.testing.assert_close(same[name].by_motion(pivot).cpu(), one.by_motion(pivot), atol=1e-3, rtol=1e-3)
    assert torch.equal(there.silhouettes(views, poses=poses).cpu(), here.silhouettes(views, poses=poses))
    torch.testing.assert_close(there.depth(views, poses=poses).cpu(), here.depth(views, poses=poses))


def test_gradients_reach_poses_on_the_cpu():
    views = cone_views(12, delx=4.0, dtype=torch.float32)
    x = torch.tensor(1.0, requires_grad=True)
    gradients = []
    for device in (DEVICE, "cpu"):
        pose = shifted().matrix.clone()
        pose[0, 0, 3] = x
        moved = type(shifted())(pose)
        image = Scene(bodies(), device=device).render(views, poses={"cube": moved})
        gradients.append(torch.autograd.grad(image.square().sum(), x)[0].item())
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-4)
