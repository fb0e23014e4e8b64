"""The same scores and distances as DiffDRR 0.6.1."""

import pytest
import torch
from other_projects import import_peer

from raygrad import metrics
from raygrad.pose import RigidTransform, random_rigid_transform

pytestmark = pytest.mark.peers
diffdrr_metrics = import_peer("diffdrr.metrics")
diffdrr_pose = import_peer("diffdrr.pose")


def images(channels=1, batch_size=2):
    generator = torch.Generator().manual_seed(0)
    x1 = torch.rand(batch_size, channels, 31, 26, generator=generator, dtype=torch.float64)
    x2 = 0.7 * x1 + 0.3 * torch.rand(x1.shape, generator=generator, dtype=torch.float64)
    x1[:, :, :12, :12] = 0.25  # patches without any contrast
    return x1, x2


@pytest.mark.parametrize(
    ("name", "arguments", "channels"),
    [
        ("NormalizedCrossCorrelation2d", {}, 3),
        ("NormalizedCrossCorrelation2d", {"eps": 1e-2}, 1),
        ("NormalizedCrossCorrelation2d", {"patch_size": 1}, 1),
        ("NormalizedCrossCorrelation2d", {"patch_size": 7}, 3),
        ("NormalizedCrossCorrelation2d", {"patch_size": 26, "eps": 1e-3}, 1),
        ("MultiscaleNormalizedCrossCorrelation2d", {}, 1),
        ("MultiscaleNormalizedCrossCorrelation2d", {"patch_sizes": [None, 9], "patch_weights": [0.4, 0.6]}, 2),
        ("GradientNormalizedCrossCorrelation2d", {}, 1),
        ("GradientNormalizedCrossCorrelation2d", {"patch_size": 11, "sigma": 2.3, "eps": 1e-4}, 1),
        ("GradientNormalizedCrossCorrelation2d", {"patch_size": None, "sigma": 0}, 1),
        ("MutualInformation", {}, 1),
        ("MutualInformation", {"sigma": 0.03, "num_bins": 64, "epsilon": 1e-8, "normalize": False}, 1),
    ],
)
def test_scores(name, arguments, channels):
    x1, x2 = images(channels)
    theirs = getattr(diffdrr_metrics, name)(**arguments).double()
    if name == "MutualInformation":
        theirs.bins = torch.linspace(0, 1, len(theirs.bins), dtype=torch.float64)  # .double() keeps float32's rounding
        theirs.sigma = torch.tensor(arguments.get("sigma", 0.1), dtype=torch.float64)
    ours = getattr(metrics, name)(**arguments)
    torch.testing.assert_close(ours(x1, x2), theirs(x1, x2), rtol=1e-9, atol=1e-9)
    expected = getattr(diffdrr_metrics, name)(**arguments)(x1.float(), x2.float())
    torch.testing.assert_close(ours(x1.float(), x2.float()), expected, rtol=2e-4, atol=2e-5)


def test_distances_of_poses():
    matrix = random_rigid_transform(20, torch.Generator().manual_seed(1)).matrix.double()
    ours = [RigidTransform(m) for m in (matrix, matrix.roll(1, 0))]
    theirs = [diffdrr_pose.RigidTransform(m) for m in (matrix, matrix.roll(1, 0))]
    torch.testing.assert_close(
        metrics.LogGeodesicSE3()(*ours), diffdrr_metrics.LogGeodesicSE3()(*theirs), rtol=1e-6, atol=0
    )
    for distance, expected in zip(
        metrics.DoubleGeodesicSE3(1020.0, eps=1e-3)(*ours),
        diffdrr_metrics.DoubleGeodesicSE3(1020.0, eps=1e-3)(*theirs),
        strict=True,
    ):
        torch.testing.assert_close(distance, expected, rtol=1e-6, atol=0)
