"""What only a real GPU can show: graphs, waiting, digits that stay the same, memory that runs out."""

import pytest
import torch

from raygrad.data import Subject, Volume
from raygrad.drr import DRR
from raygrad.kernels import available_backends, backproject, project_cameras
from raygrad.metrics import MultiscaleNormalizedCrossCorrelation2d
from raygrad.pose import RigidTransform, convert

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.skipif(not available_backends()["gpu"][0], reason=available_backends()["gpu"][1]),
]
RENDERERS = ("siddon", "joseph", "trilinear")


def make_drr(renderer: str, size: int = 64) -> DRR:
    density = torch.rand(64, 48, 40, generator=torch.Generator().manual_seed(0)) / 100
    volume = Volume(density, torch.diag(torch.tensor([3.0, 3.0, 3.0, 1.0])).numpy())
    subject = Subject(volume, density=density, orientation="AP")
    return DRR(subject, 1020.0, size, 400 / size, renderer=renderer).to("cuda")


def make_pose(offset: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    rotation = torch.tensor([[0.1 + offset, -0.2, 0.05]], device="cuda", requires_grad=True)
    return rotation, torch.tensor([[5.0, 850.0, -3.0 + offset]], device="cuda", requires_grad=True)


def similarity(drr: DRR, fixed: torch.Tensor, rotation: torch.Tensor, translation: torch.Tensor) -> torch.Tensor:
    moving = drr(rotation, translation, parameterization="euler_angles", convention="ZXY")
    return MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5])(fixed, moving)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_gpu_gives_the_images_of_the_cpu(renderer):
    drr = make_drr(renderer)
    pose = convert(*make_pose(), parameterization="euler_angles", convention="ZXY")
    pose = RigidTransform(pose.matrix.detach())
    image = drr(pose).cpu()
    expected = drr.to("cpu")(RigidTransform(pose.matrix.cpu()))
    assert (image - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_cuda_graph_holds_drr_metric_and_gradient(renderer):
    drr = make_drr(renderer)
    with torch.no_grad():
        fixed = drr(*make_pose(0.02), parameterization="euler_angles", convention="ZXY")
    rotation, translation = make_pose()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            torch.autograd.grad(similarity(drr, fixed, rotation, translation).sum(), (rotation, translation))
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        score = similarity(drr, fixed, rotation, translation)
        gradients = torch.autograd.grad(score.sum(), (rotation, translation))
    with torch.no_grad():
        rotation += 0.03
        translation -= 4.0
    graph.replay()
    expected_score = similarity(drr, fixed, rotation, translation)
    expected = torch.autograd.grad(expected_score.sum(), (rotation, translation))
    torch.testing.assert_close(score, expected_score, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_nothing_waits_for_the_gpu(renderer):
    drr = make_drr(renderer)
    fixed = drr(*make_pose(0.02), parameterization="euler_angles", convention="ZXY").detach()
    drr.density.requires_grad_()
    rotation, translation = make_pose()
    similarity(drr, fixed, rotation, translation).sum().backward()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        similarity(drr, fixed, rotation, translation).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_pose_gradients_have_the_same_digits_every_time(renderer):
    drr = make_drr(renderer)
    found = []
    for _ in range(3):
        rotation, translation = make_pose()
        image = drr(rotation, translation, parameterization="euler_angles", convention="ZXY")
        found.append(torch.cat(torch.autograd.grad(image.square().sum(), (rotation, translation))))
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("renderer", RENDERERS)
def test_volume_gradients_have_the_same_digits_when_asked(renderer):
    volume = torch.rand(40, 30, 20, device="cuda")
    source = torch.tensor([[[20.0, -300.0, 10.0]]], device="cuda")
    target = torch.rand(1, 20000, 3, device="cuda") * 60 + torch.tensor([-10.0, 100.0, -20.0], device="cuda")
    cotangent = torch.rand(1, 1, 20000, device="cuda")
    arguments = (cotangent, volume, source, target, torch.eye(4, device="cuda"))
    plain = backproject(*arguments, renderer=renderer)
    torch.use_deterministic_algorithms(True)
    try:
        exact = [backproject(*arguments, renderer=renderer) for _ in range(3)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(exact[0], other) for other in exact[1:])
    torch.testing.assert_close(plain, exact[0], rtol=1e-4, atol=1e-5)


def test_an_image_beyond_the_memory_says_what_to_lower():
    _, total = torch.cuda.mem_get_info()
    map_of_points = torch.eye(4, device="cuda")
    poses = map_of_points.repeat(1 + total // (4 * 4096**2), 1, 1)
    with pytest.raises(torch.cuda.OutOfMemoryError, match="Lower the number of poses"):
        project_cameras(
            torch.ones(2, 2, 2, device="cuda"), poses, map_of_points[None], map_of_points, height=4096, width=4096
        )


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_kernels_run_where_the_volume_is():
    drr = make_drr("siddon").to("cuda:1")
    rotation, translation = (part.detach().to("cuda:1") for part in make_pose())
    image = drr(rotation, translation, parameterization="euler_angles", convention="ZXY")
    assert image.device == torch.device("cuda:1")
    assert image.max() > 0
