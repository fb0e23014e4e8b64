"""What the "gpu" backend promises around its kernels: never to wait, to say why it cannot serve, and what to lower."""

import importlib.util
import inspect
from types import SimpleNamespace

import pytest
import torch
from kernel_cases import RENDERERS, needs_gpu_kernels, options, random_like, scenes
from synchronisation import NoSynchronisation

from raygrad.kernels import _backends, _gpu, available_backends, backproject, project, project_with_jacobian
from raygrad.kernels._gpu import marching, memory

pytestmark = [needs_gpu_kernels, pytest.mark.interpreter]

SCENES = scenes()
OPERATORS = ("march", "march_with_jacobian", "march_adjoint", "march_adjoint_into")


@pytest.fixture
def calls(monkeypatch):
    """Kernels that do nothing. Returns the operators that were called, with their arguments."""
    made = []

    def recorded(operator):
        def call(*arguments):
            made.append((operator, arguments))
            return operator(*arguments)

        return call

    monkeypatch.setattr(marching, "launch", lambda *arguments, **settings: None)
    for name in OPERATORS:
        monkeypatch.setattr(_gpu, name, recorded(getattr(_gpu, name)))
    return made


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("name", ["rays in all directions", "labels"])
def test_nothing_reads_a_value(name, deterministic, calls):
    scene = SCENES[name].on("gpu")
    settings = options(scene, "siddon", "gpu", n_channels=4 if scene.labels is not None else None)
    leaves = [t.clone().requires_grad_() for t in (scene.volume, scene.source, scene.target)]
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(deterministic)
    try:
        with NoSynchronisation() as watch:
            project(scene.volume, *scene.rays, **settings)
            image, _ = project_with_jacobian(*leaves, scene.world_to_voxel, **settings)
            image.square().sum().backward()
            project(leaves[0], *scene.rays, **settings).sum().backward()
            y = torch.ones_like(image)
            spread = backproject(y, scene.volume, *scene.rays, **settings)
            backproject(y, scene.volume, *scene.rays, **settings, out=spread)
            if scene.labels is None:
                project(leaves[0], *scene.rays, **settings, reducefn="max").sum().backward()
        assert watch.operations > 20
        with NoSynchronisation() as watch:  # which does not look into operators, so once more from within
            for operator, arguments in calls:
                operator(*arguments)
        assert watch.operations > 20
    finally:
        torch.use_deterministic_algorithms(before)
    assert {operator.__name__ for operator, _ in calls} == set(OPERATORS)


def test_backend_is_chosen_and_described():
    usable, sentence = available_backends()["gpu"]
    assert usable
    assert sentence.startswith("float16, bfloat16, float32 and float64 volumes on a GPU: Triton 3")
    assert ("interpreted" in sentence) == _backends.interpreted()


def test_cpu_volume_without_the_interpreter(monkeypatch):
    monkeypatch.setattr(_backends, "interpreted", lambda: False)
    scene = SCENES["cone along y"]
    with pytest.raises(ValueError, match=r"backend='gpu' cannot be used: .* on a GPU, not on cpu\."):
        project(scene.volume, *scene.rays, backend="gpu")


@pytest.fixture
def asked_afresh(monkeypatch):
    """What was found out about Triton once is not remembered here."""
    monkeypatch.setattr(_backends, "_find_triton", inspect.unwrap(_backends._find_triton))


def test_no_triton(monkeypatch, asked_afresh):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "triton" else found(name, *more)
    )
    scene = SCENES["cone along y"]
    with pytest.raises(ValueError, match=r"backend='gpu' cannot be used: Triton is missing \(PyTorch for Linux"):
        project(scene.volume, *scene.rays, backend="gpu")
    assert not available_backends()["gpu"][0]


@pytest.mark.parametrize(
    ("version", "old"), [("2.3.1", True), ("3.2.0", True), ("3.3.0", False), ("3.10.0+git1", False)]
)
def test_old_triton(version, old, monkeypatch, asked_afresh):
    monkeypatch.setattr(_backends.importlib, "import_module", lambda name: SimpleNamespace(__version__=version))
    found, sentence = _backends.find_triton()
    assert found != old
    assert sentence == (f"Triton {version} is too old; 3.3 or newer is needed" if old else f"Triton {version}")


def test_volumes_of_dtypes_that_no_kernel_reads():
    scene = SCENES["cone along y"].on("gpu")
    volume = scene.volume.to(torch.float8_e4m3fn)
    with pytest.raises(ValueError, match=r"float16, bfloat16, float32 and float64, not torch\.float8_e4m3fn"):
        project(volume, *scene.rays, backend="gpu")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (
            "the image",
            r"Expected 0\.00 GiB of free memory for the image, \(1, 1, 41\) of torch\.float64\. Lower the number of",
        ),
        ("the derivatives", r"for the derivatives, \(1, 1, 41, 6\) of torch\.float64\. Lower the number of poses"),
        ("the sums of each label", r"for the sums of each label, \(1, 5, 1, 41\) of torch\.float64\. Lower .* labels"),
        (
            "the volume gradient",
            r"for the volume gradient, \(1, 7, 6, 5\) of torch\.float64\. Lower the number of voxels",
        ),
    ],
)
def test_out_of_memory_says_what_to_lower(what, message, monkeypatch):
    scene = SCENES["rays in all directions"].on("gpu")

    def full(wanted, make, *arguments, **settings):
        def make_nothing(*_, **__):
            raise torch.cuda.OutOfMemoryError("the allocator's own words")

        return memory.allocate(wanted, make_nothing if wanted == what else make, *arguments, **settings)

    monkeypatch.setattr(marching, "allocate", full)
    labels = torch.full((7, 6, 5), 4, device=scene.volume.device)
    cotangent = torch.ones(1, 1, 41, device=labels.device)
    fill = {
        "the image": lambda: project(scene.volume, *scene.rays, backend="gpu"),
        "the derivatives": lambda: project_with_jacobian(scene.volume, *scene.rays, backend="gpu"),
        "the sums of each label": lambda: project(scene.volume, *scene.rays, labels=labels, backend="gpu"),
        "the volume gradient": lambda: backproject(cotangent, scene.volume, *scene.rays, backend="gpu"),
    }
    with pytest.raises(torch.cuda.OutOfMemoryError, match=message + ".* the allocator's own words"):
        fill[what]()


def test_needed_memory_is_said_in_gibibytes():
    def make_nothing(*_, **__):
        raise torch.cuda.OutOfMemoryError

    with pytest.raises(
        torch.cuda.OutOfMemoryError, match=r"Expected 6\.00 GiB .*\(3, 1024, 524288\) of torch\.float32"
    ):
        memory.allocate("the image", make_nothing, (3, 1024, 524288), dtype=torch.float32)
    volume = torch.empty(1, 1024, 1024, 512, dtype=torch.float16, device="meta")
    with pytest.raises(torch.cuda.OutOfMemoryError, match=r"Expected 4\.00 GiB .*of torch\.int64"):
        memory.allocate("the volume gradient", make_nothing, volume, dtype=torch.int64)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_pose_gradients_are_the_same_every_time(renderer):
    scene = SCENES["oblique cone, mixed main axes"].to(torch.float32).on("gpu")
    settings = options(scene, renderer, "gpu", n_points=12)
    results = []
    for _ in range(2):
        ends = [t.clone().requires_grad_() for t in (scene.source, scene.target)]
        image = project(scene.volume, *ends, scene.world_to_voxel, **settings)
        results.append(torch.autograd.grad(image, ends, random_like(image)))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
