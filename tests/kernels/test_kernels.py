"""Every operator on every scene: values and derivatives against the reference, adjoints, rounding, errors."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from kernel_cases import (
    BACKENDS,
    BACKENDS_IN_TIME,
    FAST_BACKENDS,
    FEW_POINTS,
    RENDERERS,
    Scene,
    affine,
    assert_all_close,
    cone,
    degenerate_scenes,
    gradients,
    needs_extension,
    on_fast_backends,
    opcheck,
    options,
    random_like,
    random_volume,
    scenes,
)

from raygrad.kernels import backproject, prepare, project, project_with_jacobian

SCENES = scenes()
DEGENERATE = degenerate_scenes()


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize(("backend", "name"), on_fast_backends(SCENES, all_interpreted=True))
def test_march_matches_reference(backend, name, renderer):
    scene, n_points = SCENES[name], 36 if backend == "cpu" else FEW_POINTS
    expected = gradients(scene, **options(scene, renderer, "reference", n_points=n_points))
    scene = scene.on(backend)
    assert expected[0].abs().max() > 0
    assert_all_close(gradients(scene, **options(scene, renderer, backend, n_points=n_points)), expected)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize(("backend", "name"), on_fast_backends(n for n, s in SCENES.items() if s.labels is None))
def test_maximum_matches_reference(backend, name, renderer):
    scene, settings = SCENES[name], {"reducefn": "max", "n_points": 36 if backend == "cpu" else FEW_POINTS}
    expected = gradients(scene, **options(scene, renderer, "reference", **settings))
    scene = scene.on(backend)
    assert_all_close(gradients(scene, **options(scene, renderer, backend, **settings)), expected)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize(("backend", "name"), on_fast_backends(SCENES))
def test_jacobian_matches_reference(backend, name, renderer):
    scene = SCENES[name]
    expected = project_with_jacobian(
        scene.volume, *scene.rays, **options(scene, renderer, "reference", n_points=FEW_POINTS)
    )
    scene = scene.on(backend)
    result = project_with_jacobian(scene.volume, *scene.rays, **options(scene, renderer, backend, n_points=FEW_POINTS))
    assert_all_close(result, expected)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize(("backend", "name"), on_fast_backends(DEGENERATE, all_interpreted=True))
def test_degenerate_rays_match_reference_in_value_and_adjoint(backend, name, renderer):
    scene, n_points = DEGENERATE[name], 36 if backend == "cpu" else FEW_POINTS
    there = scene.on(backend)
    for reducefn in ("sum", "max"):
        settings = {"n_points": n_points, "reducefn": reducefn}
        expected = project(scene.volume, *scene.rays, **options(scene, renderer, "reference", **settings))
        result = project(there.volume, *there.rays, **options(there, renderer, backend, **settings))
        assert_all_close([result], [expected])
    y, settings = random_like(expected), {"n_points": n_points}
    expected = backproject(y, scene.volume, *scene.rays, **options(scene, renderer, "reference", **settings))
    result = backproject(y.to(result), there.volume, *there.rays, **options(there, renderer, backend, **settings))
    assert_all_close([result], [expected])
    _, jacobian = project_with_jacobian(there.volume, *there.rays, **options(there, renderer, backend, **settings))
    assert jacobian.isfinite().all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_of_degenerate_rays(backend):
    """Axis-parallel rays cross one row of voxels, whole; a ray on a face belongs to the voxels above it."""
    scene = DEGENERATE["parallel to the axes"].on(backend)
    rows = torch.stack([scene.volume[i, :, 2].sum() for i in (0, 0, 3, 6)])
    image = project(scene.volume, *scene.rays, backend=backend)
    torch.testing.assert_close(image[0, 0], rows, rtol=1e-12, atol=1e-12)
    scene = DEGENERATE["on the outer faces"].on(backend)
    faces = torch.stack([scene.volume[0, :, 2].sum(), rows.new_zeros(()), scene.volume[3, :, 0].sum()])
    image = project(scene.volume, *scene.rays, backend=backend)
    torch.testing.assert_close(image[0, 0], faces, rtol=1e-12, atol=1e-12)


def gradcheck(image, leaves, backend) -> bool:
    """All of the Jacobian; for Triton, whose interpreter is slow and whose atomic sums vary, one projection of it."""
    settings = {"fast_mode": True, "nondet_tol": 1e-12, "check_undefined_grad": False} if backend == "gpu" else {}
    return torch.autograd.gradcheck(image, leaves, eps=1e-7, atol=1e-6, **settings)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("renderer", RENDERERS)
def test_gradcheck(renderer, backend):
    volume = random_volume(4, 5, 3, seed=3)
    source, target = cone((1.61, -14.0, 1.13), (1.27, 11.0, 0.91), 3, 4, 1.37)
    scene = Scene(volume, source, target, affine((0.9, 1.1, 1.3)), 4).on(backend)
    leaves = [t.requires_grad_() for t in (scene.volume, scene.source, scene.target)]

    def image(*leaves):
        return project(*leaves, scene.world_to_voxel, **options(scene, renderer, backend, n_points=9))

    assert gradcheck(image, leaves, backend)


@pytest.mark.parametrize("backend", BACKENDS_IN_TIME)
@pytest.mark.parametrize("renderer", RENDERERS)
def test_gradcheck_by_label(renderer, backend):
    scene = SCENES["labels"].on(backend)
    leaves = [t.clone().requires_grad_() for t in (scene.volume, scene.source, scene.target[:, 12:16])]

    def image(*leaves):
        return project(
            *leaves, scene.world_to_voxel, **options(scene, renderer, backend, image_width=None, n_channels=4)
        )

    assert gradcheck(image, leaves, backend)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_reference_is_twice_differentiable(renderer):
    volume = random_volume(4, 5, 3, seed=3)
    source, target = cone((1.61, -14.0, 1.13), (1.27, 11.0, 0.91), 2, 2, 1.37)
    leaves = [t.requires_grad_() for t in (volume, source, target)]

    def image(*leaves):
        return project(*leaves, affine(), renderer=renderer, n_points=9, backend="reference")

    assert torch.autograd.gradgradcheck(image, leaves, eps=1e-7, atol=1e-5, fast_mode=True)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize(("backend", "name"), [*product(["reference"], SCENES), *on_fast_backends(SCENES)])
def test_adjoint(backend, name, renderer):
    """<A x, y> = <x, A^T y>, to rounding in float64 and to 1e-6 in float32."""
    scene = SCENES[name].on(backend)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        rounded, settings = scene.to(dtype), options(scene, renderer, backend)
        image = project(rounded.volume, *rounded.rays, **settings)
        cotangent = random_like(image, seed=3) + 0.5
        spread = backproject(cotangent, rounded.volume, *rounded.rays, **settings)
        left, right = (image.double() * cotangent).sum(), (rounded.volume.double() * spread).sum()
        assert abs(left - right) <= tolerance * left.abs()


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize(("backend", "name"), on_fast_backends(SCENES))
def test_float32_against_float64_reference(backend, name, renderer):
    scene = SCENES[name]
    expected = project(scene.volume, *scene.rays, **options(scene, renderer, "reference", n_points=FEW_POINTS))
    rounded = scene.on(backend).to(torch.float32)
    result = project(rounded.volume, *rounded.rays, **options(rounded, renderer, backend, n_points=FEW_POINTS))
    assert result.dtype == torch.float32
    assert (result.cpu() - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("backend", FAST_BACKENDS)
@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("operator", ["march", "march_with_jacobian", "march_adjoint"])
def test_opcheck(operator, renderer, backend):
    scene = SCENES["cone along y"].on(backend)
    volume, source, target = (t.clone().requires_grad_() for t in (scene.volume[None], scene.source, scene.target))
    rays = (source, target, scene.world_to_voxel, None)
    settings = (6, 1, renderer, 9, "sum", backend)
    if operator == "march_adjoint":
        cotangent = random_like(scene.target[:, None, :, 0]).requires_grad_()
        rays = tuple(r if r is None else r.detach() for r in rays)
        arguments = (cotangent, volume.detach(), *rays, *settings)
    else:
        arguments = (volume, *rays, None, *settings)
    checks = ["test_schema", "test_autograd_registration", "test_faketensor"]
    # The last check differentiates every output, and the Jacobian refuses. It is slow, and what it checks is the same
    # for every renderer.
    if operator != "march_with_jacobian" and (backend == "cpu" or renderer == "siddon"):
        checks.append("test_aot_dispatch_dynamic")
    opcheck(operator, arguments, checks)


@pytest.mark.parametrize("backend", FAST_BACKENDS)
@pytest.mark.parametrize("which", ["source", "target"])
def test_second_derivatives_by_rays_are_refused_by_the_fast_kernels(which, backend):
    scene = SCENES["cone along y"].on(backend)
    leaves = {"volume": scene.volume, "source": scene.source, "target": scene.target}
    leaves[which] = leaves[which].clone().requires_grad_()
    image = project(*leaves.values(), scene.world_to_voxel, backend=backend)
    (gradient,) = torch.autograd.grad(image.square().sum(), leaves[which], create_graph=True)
    with pytest.raises(RuntimeError, match="backend='reference'"):
        gradient.sum().backward()


@pytest.mark.parametrize("backend", FAST_BACKENDS)
def test_second_derivatives_by_the_volume(backend):
    """A march is linear in it, and its adjoint in the image."""
    scene = SCENES["cone along y"].on(backend)
    volume, way = scene.volume.clone().requires_grad_(), random_like(scene.volume)
    (gradient,) = torch.autograd.grad(
        project(volume, *scene.rays, backend=backend).square().sum(), volume, create_graph=True
    )
    (along,) = torch.autograd.grad(gradient, volume, way)
    expected = backproject(2 * project(way, *scene.rays, backend=backend), way, *scene.rays, backend=backend)
    assert_all_close([along], [expected])
    maximum = project(volume, *scene.rays, backend=backend, reducefn="max").square().sum()
    (gradient,) = torch.autograd.grad(maximum, volume, create_graph=True)
    with pytest.raises(RuntimeError, match="backend='reference'"):
        gradient.sum().backward()


@pytest.mark.parametrize("backend", FAST_BACKENDS)
def test_jacobian_of_the_fast_kernels_is_not_differentiable(backend):
    scene = SCENES["cone along y"].on(backend)
    source = scene.source.clone().requires_grad_()
    image, jacobian = project_with_jacobian(scene.volume, source, scene.target, scene.world_to_voxel, backend=backend)
    (gradient,) = torch.autograd.grad(image.sum(), source, retain_graph=True)
    torch.testing.assert_close(gradient, jacobian[..., :3].sum(dim=(1, 2))[:, None])
    with pytest.raises(RuntimeError, match="backend='reference'"):
        jacobian.sum().backward()


@pytest.mark.parametrize("backend", FAST_BACKENDS)
def test_adjoint_is_differentiable_by_its_cotangent(backend):
    scene = SCENES["cone along y"].on(backend)
    cotangent = random_like(scene.target[:, None, :, 0]).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda y: backproject(y, scene.volume, *scene.rays, backend=backend),
        cotangent,
        fast_mode=True,
        nondet_tol=1e-12 if backend == "gpu" else 0.0,
    )
    target = scene.target.clone().requires_grad_()
    spread = backproject(cotangent, scene.volume, scene.source, target, scene.world_to_voxel, backend=backend)
    with pytest.raises(RuntimeError, match="backend='reference'"):
        spread.sum().backward()


@needs_extension
@pytest.mark.parametrize("renderer", RENDERERS)
def test_results_do_not_depend_on_threads(renderer):
    volume = random_volume(30, 40, 50).float()
    source, target = (t.float() for t in cone((14.2, -90, 26.1), (15.3, 80, 25.2), 30, 30, 3.1))
    results = []
    threads = torch.get_num_threads()
    for n in (1, 2, 3):
        torch.set_num_threads(n)
        image, jacobian = project_with_jacobian(
            volume, source, target, affine(), renderer=renderer, image_width=30, backend="cpu"
        )
        spread = backproject(random_like(image), volume, source, target, affine(), renderer=renderer, image_width=30)
        results.append((image, jacobian, spread))
    torch.set_num_threads(threads)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


@pytest.mark.parametrize("backend", FAST_BACKENDS)
@pytest.mark.parametrize("renderer", RENDERERS)
def test_any_strides_without_a_copy(renderer, backend):
    """Every memory order gives the same image, and a gradient in the volume's own memory order."""
    scene, settings = SCENES["oblique cone, mixed main axes"], {"n_points": FEW_POINTS}
    expected = gradients(scene, **options(scene, renderer, "reference", **settings))
    scene = scene.on(backend)
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)) if backend == "cpu" else ((2, 0, 1),):
        back = [order.index(i) for i in range(3)]
        leaf = scene.volume.permute(order).contiguous().permute(back).requires_grad_()
        permuted = Scene(leaf.detach(), *scene.rays, scene.image_width)
        assert_all_close(gradients(permuted, **options(scene, renderer, backend, **settings)), expected)
        project(leaf, *scene.rays, **options(scene, renderer, backend, **settings)).sum().backward()
        assert leaf.grad.stride() == leaf.stride()
    padded = scene.volume.new_zeros(9, 8, 14)
    padded[1:8, 1:7, ::3] = scene.volume
    strided_source = torch.stack([scene.source, scene.source], dim=-1)[..., 0]
    rays = (strided_source, scene.target, scene.world_to_voxel)
    image = project(padded[1:8, 1:7, ::3], *rays, **options(scene, renderer, backend, **settings))
    assert_all_close([image], expected[:1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_rays_that_miss_give_exactly_zero(backend):
    volume = random_volume(5, 5, 5)
    source = torch.tensor([[[0.0, -50, 0]]], dtype=torch.float64)
    target = torch.tensor([[[100.0, 50, 0], [0, -20, 0], [0, -60, 0], [4.51, 50, 0]]], dtype=torch.float64)
    source = source.expand_as(target).clone()
    source[0, 3, 0] = 4.51
    scene = Scene(volume, source, target, affine()).on(backend)
    for renderer, reducefn in product(RENDERERS, ("sum", "max")):
        settings = options(scene, renderer, backend, reducefn=reducefn)
        image, jacobian = project_with_jacobian(scene.volume, *scene.rays, **settings)
        missing = slice(0, 4 if renderer == "siddon" else 3)  # interpolation is felt half a voxel beyond the faces
        assert (image[..., missing] == 0).all()
        assert (jacobian[:, :, missing] == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_parallel_beam_is_a_source_per_ray(backend):
    volume = random_volume(6, 5, 4)
    x, z = torch.meshgrid(torch.arange(6.0), torch.arange(4.0), indexing="ij")
    source = torch.stack([x, torch.full_like(x, -9), z], -1).reshape(1, -1, 3).double()
    scene = Scene(volume, source, source + torch.tensor([0, 20.0, 0]), affine()).on(backend)
    for renderer in ("siddon", "joseph"):
        image = project(scene.volume, *scene.rays, renderer=renderer, backend=backend)
        torch.testing.assert_close(image.reshape(6, 4), scene.volume.sum(dim=1))


@needs_extension
@pytest.mark.parametrize("renderer", RENDERERS)
def test_skipping_empty_bricks_changes_nothing(renderer):
    volume = torch.zeros(70, 60, 50)
    volume[20:27, 33:50, 17:18] = random_volume(7, 17, 1).float()
    volume[60:, 2:5, 40:] = random_volume(10, 3, 10).float()
    source, target = (t.float() for t in cone((33, -190, 26.1), (35.3, 180, 25.2), 40, 40, 4.1))
    occupancy = prepare(volume)
    assert 0 < occupancy.bricks.float().mean() < 0.3
    settings = {"renderer": renderer, "image_width": 40, "backend": "cpu", "n_points": 200}
    with_skipping = project_with_jacobian(volume, source, target, affine(), occupancy=occupancy, **settings)
    without = project_with_jacobian(volume, source, target, affine(), **settings)
    for ours, theirs in zip(with_skipping, without, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert without[0].max() > 1


@needs_extension
@pytest.mark.parametrize("renderer", ["joseph", "trilinear"])
def test_an_empty_brick_next_to_an_occupied_one_is_not_skipped(renderer):
    """Interpolation reaches from a brick's last voxels into the next brick, where the rays here keep to."""
    volume = torch.zeros(32, 32, 32)
    volume[15, 3:12, 15] = 1
    across = torch.linspace(15.55, 15.95, 16)
    source = torch.stack([across, torch.full_like(across, -9), across.flip(0)], dim=-1)[None]
    settings = {"renderer": renderer, "n_points": 300, "backend": "cpu"}
    rays = (source, source + torch.tensor([0, 50.0, 0]), affine())
    image = project(volume, *rays, occupancy=prepare(volume), **settings)
    torch.testing.assert_close(image, project(volume, *rays, **settings), rtol=1e-6, atol=1e-6)
    assert image.min() > 0.1


@needs_extension
def test_occupancy_belongs_to_its_values():
    volume = torch.zeros(20, 20, 20)
    occupancy = prepare(volume)
    source, target = (t.float() for t in cone((10, -90, 10), (10, 80, 10), 5, 5, 3.1))
    volume[3] = 1
    assert not occupancy.describes(volume)
    with pytest.raises(ValueError, match="earlier values"):
        project(volume, source, target, affine(), occupancy=occupancy)
    assert prepare(volume).describes(volume)


@pytest.mark.subprocess
@needs_extension
@pytest.mark.parametrize("instruction_set", ["baseline", "avx2", "avx512"])
def test_every_instruction_set(instruction_set):
    """The extension chooses by itself; here each set that this machine has must agree with the reference."""
    program = Path(__file__).with_name("check_instruction_set.py")
    environment = {**os.environ, "RAYGRAD_INSTRUCTION_SET": instruction_set}
    run = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    if run.stdout.strip() == "absent":
        pytest.skip(f"this machine or build has no {instruction_set}")
    assert run.stdout.strip() == instruction_set
