"""Backends and renderers: records of what there is, and what happens where one lacks something."""

import inspect
from dataclasses import replace

import pytest
import torch
from kernel_cases import FAST_BACKENDS, affine, cone, random_like, random_volume
from torch import Tensor

from raygrad.data import Subject, Volume
from raygrad.drr import DRR
from raygrad.kernels import (
    RENDERERS,
    _backends,
    _reference,
    available_backends,
    choose_backend,
    project,
    project_cameras,
    project_with_jacobian,
)
from raygrad.kernels._ops import dispatch
from raygrad.pose import RigidTransform

VOLUME = random_volume(7, 6, 5)
RAYS = cone((3.117, -20.03, 2.213), (2.934, 18.1, 2.171), 3, 4, 2.317)


def nearest(volume: Tensor, source: Tensor, direction: Tensor, n_points: int) -> _reference.Samples:
    """A renderer of three lines: smooth samples at equal steps, of the whole ray."""
    alpha = ((torch.arange(n_points).to(source) + 0.5) / n_points).expand(*direction.shape[:2], n_points)
    point = source[..., None, :] + alpha[..., None] * direction[..., None, :]
    return _reference.Samples(point, _reference._interpolate(volume, point), torch.full_like(alpha, 1 / n_points))


@pytest.fixture
def new_renderer(monkeypatch):
    """Its name, and no memory of what has been said before."""
    monkeypatch.setitem(_reference.SAMPLERS, "new", nearest)
    _backends.say_once.cache_clear()
    return "new"


def test_a_renderer_begins_with_the_reference_alone(new_renderer):
    assert new_renderer in RENDERERS
    leaves = [value.clone().requires_grad_() for value in (VOLUME, *RAYS)]
    options = {"renderer": new_renderer, "n_points": 20}
    with pytest.warns(RuntimeWarning, match="slow reference, because the cpu backend has no 'new'") as said:
        image = project(*leaves, affine(), **options)
    line = inspect.currentframe().f_lineno - 1
    assert (said[0].filename, said[0].lineno) == (__file__, line)
    assert image.max() > 1
    assert torch.autograd.gradcheck(lambda *inputs: project(*inputs, affine(), **options), leaves, fast_mode=True)
    again, jacobian = project_with_jacobian(VOLUME, *RAYS, affine(), **options)
    assert torch.equal(again, image)
    weights = random_like(image)
    found = torch.autograd.grad(image, leaves[1:], weights)
    assert torch.allclose(found[1], torch.einsum("bcn,bcnk->bnk", weights, jacobian[..., 3:]))
    cameras = (
        torch.eye(4, dtype=torch.float64)[None],
        torch.diag(torch.tensor([2.0, 2, 40, 1], dtype=torch.float64))[None],
    )
    assert project_cameras(VOLUME, *cameras, affine(), height=2, width=3, **options).shape == (1, 1, 6)


def test_a_drr_has_it_at_once(new_renderer):
    subject = Subject(Volume(VOLUME, torch.diag(torch.tensor([9.0, 9.0, 9.0, 1.0])).numpy()), orientation="AP")
    drr = DRR(subject, 1020.0, 4, 9.0, renderer=new_renderer)
    drr.density = VOLUME
    xyz = torch.tensor([[0.0, 850, 0]], dtype=torch.float64, requires_grad=True)
    rotation = torch.tensor([[0.1, 0.2, 0.3]], dtype=torch.float64, requires_grad=True)
    image = lambda *pose: drr(*pose, parameterization="euler_angles", convention="ZXY")  # noqa: E731
    with pytest.warns(RuntimeWarning, match="has no 'new'") as said:
        assert image(rotation, xyz).max() > 0
    assert said[0].filename == __file__
    assert torch.autograd.gradcheck(image, (rotation, xyz), eps=1e-6, atol=1e-4, fast_mode=True)


@pytest.mark.parametrize("backend", FAST_BACKENDS)
def test_a_backend_that_was_asked_for_is_not_another(backend, new_renderer):
    with pytest.raises(ValueError, match=f"cannot be used: the {backend} backend has no 'new', but siddon"):
        project(VOLUME, *RAYS, affine(), renderer=new_renderer, backend=backend)


def test_a_backend_is_a_record_and_its_folder(monkeypatch):
    """One that comes before the others, for the CPU, made of the compiled kernels."""
    called = []

    class Kernels:
        def __getattr__(self, name):
            called.append(name)
            return getattr(dispatch._load("cpu"), name)

    if not available_backends()["cpu"][0]:
        pytest.skip(available_backends()["cpu"][1])
    cpu = _backends.BACKENDS["cpu"]
    records = {"mine": replace(cpu, module="mine", renderers=("joseph",)), **_backends.BACKENDS}
    monkeypatch.setattr(_backends, "BACKENDS", records)
    load = dispatch._load
    monkeypatch.setattr(dispatch, "_load", lambda name: Kernels() if name == "mine" else load(name))
    monkeypatch.setattr(dispatch, "BACKENDS", records)
    assert available_backends()["mine"] == available_backends()["cpu"]
    assert choose_backend("auto", VOLUME, "joseph") == "mine"
    image = project(VOLUME, *RAYS, affine(), renderer="joseph")
    assert called == ["march"]
    assert torch.equal(image, project(VOLUME, *RAYS, affine(), renderer="joseph", backend="cpu"))
    with pytest.raises(ValueError, match="mine backend has no 'siddon', but joseph"):
        choose_backend("mine", VOLUME, "siddon")
    with pytest.raises(ValueError, match=r"one of auto, mine, cpu, gpu, reference\. Got 'theirs'"):
        choose_backend("theirs", VOLUME)


def test_unknown_renderers_are_refused_by_name():
    with pytest.raises(ValueError, match=r"renderer to be one of siddon, trilinear, joseph\. Got 'magic'"):
        choose_backend("auto", VOLUME, "magic")


def test_what_no_kernel_is_for_goes_to_the_reference_and_is_said_once():
    _backends.say_once.cache_clear()
    with pytest.warns(RuntimeWarning, match=r"reads float32 and float64, not torch\.float16"):
        project(VOLUME.half(), *RAYS, affine())
    project(VOLUME.half(), *RAYS, affine())  # another warning would be an error


def test_the_line_of_a_warning_is_the_users_also_through_a_module(new_renderer):
    subject = Subject(Volume(VOLUME, torch.diag(torch.tensor([9.0, 9.0, 9.0, 1.0])).numpy()), orientation="AP")
    drr = DRR(subject, 1020.0, 4, 9.0, renderer=new_renderer)
    pose = RigidTransform(torch.eye(4)[None])
    with pytest.warns(RuntimeWarning) as said:
        drr(pose)
    assert (said[0].filename, said[0].lineno) == (__file__, inspect.currentframe().f_lineno - 1)
