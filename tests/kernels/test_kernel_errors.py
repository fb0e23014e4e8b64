"""Bad input to the kernels is refused at the public boundary, with what was expected and what came."""

import inspect

import pytest
import torch
from kernel_cases import affine, cone, random_volume

from raygrad.kernels import available_backends, backproject, prepare, project, project_with_jacobian

VOLUME = random_volume(5, 5, 5)
SOURCE, TARGET = cone((2, -20, 2), (2, 20, 2), 3, 4, 1.3)
LABELS = torch.ones(5, 5, 5, dtype=torch.uint8)
BACKENDS = ["reference", *(["cpu"] if available_backends()["cpu"][0] else [])]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"volume": VOLUME.numpy()}, TypeError, "volume to be a torch.Tensor. Got ndarray"),
        ({"volume": VOLUME.long()}, TypeError, "volume to be of a floating-point dtype. Got torch.int64"),
        ({"volume": VOLUME[0]}, ValueError, r"\(x, y, z\) or \(batch, x, y, z\). Got \(5, 5\)"),
        ({"volume": VOLUME[:0]}, ValueError, r"Got \(0, 5, 5\)"),
        (
            {"volume": VOLUME.expand(3, 5, 5, 5), "source": SOURCE.expand(2, 1, 3), "target": TARGET.expand(2, 12, 3)},
            ValueError,
            "one volume, or 2 to fit the batch of rays. Got 3",
        ),
        ({"target": TARGET[0]}, ValueError, r"targets of shape \(batch, ray, 3\). Got \(12, 3\)"),
        ({"source": SOURCE[:, :, :2]}, ValueError, "to fit the targets. Got"),
        ({"source": SOURCE.expand(1, 5, 3)}, ValueError, r"\(1, 1, 3\) or \(1, 12, 3\)"),
        ({"world_to_voxel": torch.eye(3)}, ValueError, r"world_to_voxel of shape \(4, 4\). Got \(3, 3\)"),
        ({"world_to_voxel": affine().requires_grad_()}, ValueError, "No gradient flows to world_to_voxel"),
        ({"renderer": "magic"}, ValueError, "siddon, trilinear, joseph. Got 'magic'"),
        ({"reducefn": "mean"}, ValueError, "sum, max. Got 'mean'"),
        ({"n_points": 0}, ValueError, "n_points of at least 1. Got 0"),
        ({"backend": "tpu"}, ValueError, "auto, cpu, gpu, reference. Got 'tpu'"),
        ({"n_channels": 3}, ValueError, "needs labels"),
        ({"labels": LABELS[:4]}, ValueError, r"shape \(5, 5, 5\). Got \(4, 5, 5\)"),
        ({"labels": LABELS.float()}, TypeError, "uint8, int16, int32 or int64. Got torch.float32"),
        ({"labels": -LABELS.long()}, ValueError, "labels of at least 0. Got -1"),
        ({"labels": LABELS, "reducefn": "max"}, ValueError, "reducefn='sum'. Got 'max'"),
        ({"target": TARGET * float("nan")}, ValueError, "finite rays"),
        ({"source": SOURCE / 0}, ValueError, "finite rays"),
    ],
)
def test_bad_arguments(change, error, message):
    arguments = {"volume": VOLUME, "source": SOURCE, "target": TARGET, "world_to_voxel": affine(), **change}
    for function in (project, project_with_jacobian):
        with pytest.raises(error, match=message):
            inspect.unwrap(function)(**arguments)  # past jaxtyping's hook, as users call it


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_volumes_that_are_not_finite(value, backend):
    volume = VOLUME.clone()
    volume[2, 2, 2] = value
    with pytest.raises(ValueError, match="volume of finite values"):
        project(volume, SOURCE, TARGET, affine(), backend=backend)
    with pytest.raises(ValueError, match="volume of finite values"):
        prepare(volume)


@pytest.mark.parametrize("backend", BACKENDS)
def test_labels_outside_the_channels(backend):
    with pytest.raises((ValueError, RuntimeError, IndexError)):
        project(VOLUME, SOURCE, TARGET, affine(), labels=LABELS * 7, n_channels=3, backend=backend)


def test_cotangent_that_does_not_fit():
    with pytest.raises(ValueError, match=r"cotangent of shape \(1, 1, 12\). Got \(1, 12\)"):
        inspect.unwrap(backproject)(torch.ones(1, 12), VOLUME, SOURCE, TARGET, affine())


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize(
    "out",
    [
        torch.zeros(5, 1, 5, dtype=torch.float64).expand(5, 5, 5),
        torch.zeros(25 + 4 * 5 + 4, dtype=torch.float64).as_strided((5, 5, 5), (5, 5, 1)),
        torch.zeros(200, dtype=torch.float64).as_strided((5, 5, 5), (24, 5, 1)),
    ],
)
def test_outputs_whose_voxels_share_memory(out, backend):
    before = out.clone()
    with pytest.raises(ValueError, match=r"memory of its own for every voxel.* strides \("):
        backproject(torch.ones(1, 1, 12).double(), VOLUME, SOURCE, TARGET, affine(), out=out, backend=backend)
    assert torch.equal(out, before)


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_outputs_with_gaps_in_any_order(backend):
    cotangent = torch.ones(1, 1, 12).double()
    expected = backproject(cotangent, VOLUME, SOURCE, TARGET, affine(), backend=backend)
    memory = torch.full((5, 11, 12), 7.0, dtype=torch.float64)
    out = memory[:, 1::2, 2::2].permute(2, 0, 1)
    assert backproject(cotangent, VOLUME, SOURCE, TARGET, affine(), out=out, backend=backend) is out
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    out.fill_(7)
    assert (memory == 7).all()


def test_backend_cpu_explains_why_it_cannot():
    with pytest.raises(ValueError, match=r"float32 and float64, not torch\.float16|extension is missing"):
        project(VOLUME.half(), SOURCE, TARGET, affine(), backend="cpu")
