"""Functions of tensors that torch compiles, captures and runs under autocast: metrics, maps of poses, renders.

`python graph_cases.py BACKEND NAME ...` compiles those named and compares them with themselves, in a process without
the hook that executes annotations, which is not for compilers.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from raygrad import metrics, pose
from raygrad.data import Subject, Volume
from raygrad.drr import DRR
from raygrad.pose import PARAMETERIZATIONS, RigidTransform


class Case(NamedTuple):
    """A function, and the tensors it is called with, in float32."""

    function: Callable[..., Tensor]
    arguments: tuple[Tensor, ...]


def value_and_gradients(function: Callable[..., Tensor], arguments: tuple[Tensor, ...]) -> list[Tensor]:
    """What a function returns, and the gradients of a weighted sum of it."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in arguments]
    value = function(*leaves)
    weights = torch.linspace(1, 2, value.numel()).reshape(value.shape).to(value)
    return [value.detach(), *torch.autograd.grad(value, leaves, weights)]


def compile_and_compare(case: Case, backend: str) -> None:
    """Fail unless one compiled graph gives the function's values and gradients, and serves other values again."""
    torch._dynamo.reset()
    compiled = torch.compile(case.function, fullgraph=True, backend=backend)
    expected = value_and_gradients(*case)
    torch.testing.assert_close(value_and_gradients(compiled, case.arguments), expected, rtol=1e-4, atol=1e-5)
    with torch._dynamo.config.patch(error_on_recompile=True):
        again = tuple(tensor.clone() for tensor in case.arguments)
        torch.testing.assert_close(value_and_gradients(compiled, again), expected, rtol=1e-4, atol=1e-5)


def _image_metrics() -> dict[str, Case]:
    functions = {
        "ncc": metrics.NormalizedCrossCorrelation2d(),
        "ncc of patches": metrics.NormalizedCrossCorrelation2d(5),
        "multiscale ncc": metrics.MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5]),
        "gradient ncc": metrics.GradientNormalizedCrossCorrelation2d(sigma=0.7),
        "gradient ncc of patches": metrics.GradientNormalizedCrossCorrelation2d(patch_size=4, sigma=0),
        "gradient difference": metrics.GradientDifference(),
        "mutual information": metrics.MutualInformation(num_bins=16),
        "ssim": metrics.StructuralSimilarity2d(window_size=5),
    }
    x1, x2 = torch.rand(2, 3, 2, 24, 20)
    return {name: Case(function, (x1, 0.5 * x1 + 0.5 * x2)) for name, function in functions.items()}


def _volume_metrics() -> dict[str, Case]:
    truth, noise = torch.rand(2, 13, 12, 14)
    cases = {}
    for function in (
        metrics.root_mean_square_error,
        metrics.relative_error,
        metrics.peak_signal_to_noise_ratio,
        metrics.structural_similarity_3d,
    ):
        cases[function.__name__] = Case(function, (truth + noise, truth))
        cases[f"{function.__name__} in a mask"] = Case(_with_mask(function), (truth + noise, truth))
    return cases


def _with_mask(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda volume, truth: function(volume, truth, mask=truth > 0.25)


def _random_poses(batch_size: int) -> RigidTransform:
    return pose.random_rigid_transform(batch_size).to(torch.float32)


def _pose_metrics() -> dict[str, Case]:
    poses = _random_poses(3).matrix, _random_poses(3).matrix
    points = 100 * torch.rand(3, 7, 3)

    def pixels(camera_to_world: RigidTransform, points: Tensor) -> Tensor:
        return camera_to_world.inverse()(points)[..., :2]

    def all_distances(first: RigidTransform, second: RigidTransform) -> Tensor:
        return torch.cat(metrics.DoubleGeodesicSE3(1020.0)(first, second))

    def mtre(first: Tensor, second: Tensor, points: Tensor) -> Tensor:
        return metrics.mean_target_registration_error(RigidTransform(first), RigidTransform(second), points)

    def on_the_detector(first: Tensor, second: Tensor, points: Tensor) -> Tensor:
        first, second = RigidTransform(first), RigidTransform(second)
        return metrics.mean_reprojection_distance(first, second, points, pixels, (1.5, 2.0))

    return {
        "log geodesic": Case(_of_poses(metrics.LogGeodesicSE3()), poses),
        "double geodesic": Case(_of_poses(all_distances), poses),
        "mtre": Case(mtre, (*poses, points)),
        "reprojection distance": Case(on_the_detector, (*poses, points)),
    }


def _of_poses(function: Callable[[RigidTransform, RigidTransform], Tensor]) -> Callable[..., Tensor]:
    return lambda first, second: function(RigidTransform(first), RigidTransform(second))


def _poses() -> dict[str, Case]:
    transforms, others, points = _random_poses(3), _random_poses(3), 100 * torch.rand(3, 7, 3)
    matrix, rotation, twist = transforms.matrix, transforms.rotation.clone(), torch.rand(3, 6)
    cases = {
        "compose": Case(lambda a, b: RigidTransform(a).compose(RigidTransform(b)).matrix, (matrix, others.matrix)),
        "inverse": Case(lambda a: RigidTransform(a).inverse().matrix, (matrix,)),
        "points": Case(lambda a, points: RigidTransform(a)(points), (matrix, points)),
        "make_matrix": Case(pose.make_matrix, (rotation, torch.rand(3, 3))),
        "so3_exp_map": Case(pose.so3_exp_map, (twist[:, 3:].clone(),)),
        "so3_log_map": Case(pose.so3_log_map, (rotation,)),
        "se3_exp_map": Case(pose.se3_exp_map, (twist,)),
        "se3_log_map": Case(pose.se3_log_map, (matrix,)),
        "convert zxy in degrees": _convert("euler_angles", (torch.rand(3, 3), torch.rand(3, 3)), "zxy", degrees=True),
    }
    for name in PARAMETERIZATIONS:
        convention = "ZXY" if name == "euler_angles" else None
        parameters = transforms.convert(name, convention=convention)
        cases[f"convert {name}"] = _convert(name, tuple(tensor.clone() for tensor in parameters), convention)
        cases[f"parameters {name}"] = Case(_parameters(name, convention), (matrix,))
    return cases


def _convert(name: str, arguments: tuple[Tensor, ...], convention: str | None, **settings: Any) -> Case:
    def function(rotation: Tensor, xyz: Tensor) -> Tensor:
        return pose.convert(rotation, xyz, parameterization=name, convention=convention, **settings).matrix

    return Case(function, arguments)


def _parameters(name: str, convention: str | None) -> Callable[..., Tensor]:
    def function(matrix: Tensor) -> Tensor:
        rotation, xyz = RigidTransform(matrix).convert(name, convention)
        return torch.cat([rotation.flatten(1), xyz], dim=1)

    return function


def _renders() -> dict[str, Case]:
    """From the parameters of a pose to the similarity of its image with a fixed one."""
    density = torch.rand(12, 10, 8)
    spacing = torch.diag(torch.tensor([4.0, 3.0, 5.0, 1.0])).numpy()
    subject = Subject(Volume(density, spacing), density=density, orientation="AP")
    similarity = metrics.MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5])
    rotation, xyz = 0.1 * torch.rand(2, 3), torch.tensor([[20.0, 850, 15]]).repeat(2, 1)
    return {
        f"{renderer} on {backend}": Case(
            _render(DRR(subject, 1020.0, 24, 4.0, 20, **settings), similarity), (rotation, xyz)
        )
        for backend in ("cpu", "reference")
        for renderer in ("siddon", "joseph")
        for settings in [{"renderer": renderer, "backend": backend}]
    }


def _render(drr: DRR, similarity: torch.nn.Module) -> Callable[..., Tensor]:
    def image(rotation: Tensor, xyz: Tensor) -> Tensor:
        return drr(rotation, xyz, parameterization="euler_angles", convention="ZXY")

    fixed = image(torch.tensor([[0.08, 0.03, 0.05]]), torch.tensor([[18.0, 840, 17]]))
    return lambda rotation, xyz: similarity(fixed, image(rotation, xyz))


with torch.random.fork_rng(devices=[]):
    torch.manual_seed(0)
    CASES = _image_metrics() | _volume_metrics() | _pose_metrics() | _poses()
    RENDERS = _renders()


if __name__ == "__main__":
    backend, *names = sys.argv[1:]
    for name in names:
        print(name)
        compile_and_compare((CASES | RENDERS)[name], backend)
