"""What all views promise."""

from typing import Any

import torch
from torch import Tensor

from raygrad.geometry import Cameras, Views
from raygrad.march import Marching, Prepared, march
from raygrad.pose import RigidTransform, convert
from raygrad.testing._expect import expect, expect_close, expect_refusal, expect_shape

MARCHINGS = (Marching("siddon", backend="reference"), Marching("joseph", backend="reference"))


def check_views(views: Views, *, device: torch.device | str | None = None) -> None:
    """See that views keep what `raygrad.geometry.Views` promises.

    - `rays()` are sources (view, 1 or ray, 3) and targets (view, ray, 3), finite, of one dtype, row by row, one for
      every pixel of `image_shape`, where `device` says.
    - A slice, a list or a tensor of indices gives the same kind of views with those rays. `split` keeps all of them in
      order, with as many at once as were asked for. `concatenate` joins what was taken apart, and refuses nothing.
    - `==` holds for views of the same numbers and for no others, and equal views have one hash.
    - `moved` moves both ends of every ray; what is seen is then the same as if the volume had moved the other way.
    - `parameters()` are the tensors that decide: a gradient that reaches them has come through the rays.
    - `cameras()`, if there are any, have the same rays, and `world_to_pixel`, where there is one, takes every point of
      a ray to its own pixel.

    Args:
        views: at least two, which differ, of at least two pixels; a few of each are enough.
        device: another one to move them to, such as "cuda".

    Raises:
        TypeError, ValueError: these are no views, or too few.
        AssertionError: a promise is broken; says which.
    """
    if not isinstance(views, Views):
        raise TypeError(f"Expected views as made by raygrad.geometry. Got {type(views).__name__}.")
    if len(views) < 2 or views.image_shape[0] * views.image_shape[1] < 2:
        raise ValueError(f"Expected at least two views of two pixels. Got {len(views)} of {views.image_shape}.")
    parameters = views.parameters()
    tensors = bool(parameters) and all(isinstance(parameter, Tensor) for parameter in parameters)
    expect(tensors, "parameters() as a list of tensors, one or more", parameters)
    with torch.no_grad():
        _check_rays(views)
        _check_some(views)
        _check_equality(views)
        _check_groups(views)
        _check_motion(views)
        _check_cameras(views)
        _check_matrices(views)
        _check_device(views, views.device if device is None else torch.device(device))
    _check_gradients(views)


def _tolerance(views: Views) -> float:
    """Of positions, relative to how far the rays reach: some hundred roundings."""
    return 200 * torch.finfo(views.rays()[1].dtype).eps


def _check_rays(views: Views) -> None:
    rows, columns = views.image_shape
    whole = all(isinstance(size, int) and size > 0 for size in (rows, columns))
    expect(whole, "image_shape in whole numbers of rows and columns", (rows, columns))
    rays = views.rays()
    expect(len(rays) == 2, "rays() as sources and targets", f"{len(rays)} values")
    source, target = rays
    expect_shape(target, (len(views), rows * columns, 3), "targets")
    shape = tuple(source.shape)
    both = ((len(views), 1, 3), (len(views), rows * columns, 3))
    expect(shape in both, f"sources of shape {both[0]} or {both[1]}", shape)
    for what, ends in (("sources", source), ("targets", target)):
        right = ends.dtype in (torch.float32, torch.float64) and ends.dtype == target.dtype
        expect(right, f"{what} in float32 or float64, as the targets are", ends.dtype)
        expect(ends.device == views.device, f"{what} on {views.device}, as views.device says", ends.device)
        expect(ends.isfinite().all(), f"finite {what}", f"{int((~ends.isfinite()).sum())} numbers that are not")
    lengths = (target - source).norm(dim=-1)
    expect((lengths > 0).all(), "rays with a length", f"{int((lengths == 0).sum())} whose ends are one point")
    for first, again in zip(rays, views.rays(), strict=True):
        expect(torch.equal(first, again), "the same rays whenever they are asked for", "others the second time")


def _expect_rays(some: Views, rays: tuple[Tensor, Tensor], what: str, exact: bool = True) -> None:
    for name, ours, theirs in zip(("sources", "targets"), some.rays(), rays, strict=True):
        expect_shape(ours, tuple(theirs.shape), f"{name} of {what}")
        if exact:
            difference = "others" if not torch.equal(ours, theirs) else ""
            expect(not difference, f"{name} of {what} to be theirs, to the bit", difference)
        else:
            expect_close(ours, theirs, f"{name} of {what}", _tolerance(some))


def _check_some(views: Views) -> None:
    last = len(views) - 1
    chosen: dict[str, Any] = {
        "views[:1]": slice(0, 1),
        "views[1:]": slice(1, None),
        f"views[[{last}, 0]]": [last, 0],
        f"views[tensor([{last}])]": torch.tensor([last], device=views.device),
    }
    for what, indices in chosen.items():
        some = views[indices]
        expect(type(some) is type(views), f"{what} to be {type(views).__name__}", type(some).__name__)
        expect(some.image_shape == views.image_shape, f"{what} of {views.image_shape} pixels", some.image_shape)
        rays = views.rays()
        expect(len(some) == len(rays[1][indices]), f"{len(rays[1][indices])} views in {what}", len(some))
        _expect_rays(some, (rays[0][indices], rays[1][indices]), what)


def _check_equality(views: Views) -> None:
    again = views[:]
    expect(views == again, "views[:] == views", "False")
    expect(hash(views) == hash(again), "one hash for equal views", "two")
    for what, other in {
        "views without the last": views[: len(views) - 1],
        "views in another order": views[[*range(1, len(views)), 0]],
        "views that have moved": views.moved(_motion(views, 1)),
        "what are no views": "views",
    }.items():
        expect(not views == other and views != other, f"views to differ from {what}", "equality")


def _check_groups(views: Views) -> None:
    rows, columns = views.image_shape
    for rays_at_once in (1, rows * columns, 2 * rows * columns + 1, 10**9):
        groups = views.split(rays_at_once)
        most = max(1, rays_at_once // (rows * columns))
        sizes = [len(group) for group in groups]
        expect(0 < max(sizes) <= most, f"groups of up to {most} views for {rays_at_once} rays at once", sizes)
        for name, ours, theirs in zip(
            ("sources", "targets"), zip(*(group.rays() for group in groups), strict=True), views.rays(), strict=True
        ):
            expect(torch.equal(torch.cat(ours), theirs), f"groups with all {name} in order", "others")
    joined = type(views).concatenate([views[:1], views[1:]])
    _expect_rays(joined, views.rays(), "views that were taken apart and joined")
    expect(joined == views, "views equal to what they were when taken apart and joined", "others")
    expect_refusal(lambda: type(views).concatenate([]), "no views to join")


def _motion(views: Views, count: int) -> RigidTransform:
    """Random turns, and shifts by some hundredths of how far the rays reach."""
    generator = torch.Generator().manual_seed(count)
    turn, shift = torch.rand(2, count, 3, generator=generator, dtype=torch.float64) - 0.5
    shift *= 0.1 * float(views.rays()[1].abs().max())
    return convert(2 * turn, shift, parameterization="axis_angle").to(views.device)


def _check_motion(views: Views) -> None:
    for count in (1, len(views)):
        motion = _motion(views, count)
        moved = views.moved(motion)
        expect(type(moved) is type(views), f"moved views to be {type(views).__name__}", type(moved).__name__)
        expect(moved.image_shape == views.image_shape, f"moved views of {views.image_shape} pixels", moved.image_shape)
        source, target = (motion(ends.double()) for ends in views.rays())
        _expect_rays(moved, (source, target), "moved views, both ends of every ray moved", exact=False)
    volume, world_to_voxel = _volume_between(views)
    motion = _motion(views, 1)
    there = Prepared(volume, world_to_voxel @ torch.linalg.inv(motion.matrix[0]))
    for marching in MARCHINGS:
        image = march(Prepared(volume, world_to_voxel), views, marching)
        expect(image.any(), "rays through the middle of what they run through", "an empty image")
        tolerance = 1e-9 if views.rays()[1].dtype == torch.float64 else 1e-3
        what = f"the image of moved views to be that of the volume moved the other way ({marching.renderer})"
        expect_close(march(there, views.moved(motion), marching), image, what, tolerance, scale=0.0)


def _volume_between(views: Views) -> tuple[Tensor, Tensor]:
    """Six voxels a side, all different, about the middle of the rays and askew to them; and the map to them."""
    source, target = (ends.double() for ends in views.rays())
    middle = (source + target).expand_as(target) / 2
    generator = torch.Generator().manual_seed(0)
    volume = 1 + torch.rand(6, 6, 6, generator=generator, dtype=torch.float64).to(views.device)
    spacing = float((target - source).norm(dim=-1).max()) / 6
    turn = torch.tensor([[0.4, -0.7, 0.9]], dtype=torch.float64)  # or rays would run along faces of voxels
    voxel_to_world = convert(turn, 0 * turn, parameterization="axis_angle").matrix[0].to(views.device)
    voxel_to_world[:3, :3] *= spacing
    voxel_to_world[:3, 3] = middle.flatten(0, 1).mean(0) - 2.5 * voxel_to_world[:3, :3].sum(1)
    return volume, torch.linalg.inv(voxel_to_world)


def _check_cameras(views: Views) -> None:
    cameras = views.cameras()
    if cameras is None:
        return
    expect(isinstance(cameras, Cameras), "cameras() as Cameras, or None", type(cameras).__name__)
    expect_shape(cameras.camera_to_world, (len(views), 4, 4), "camera_to_world of cameras()")
    shape = tuple(cameras.pixel_to_camera.shape)
    both = ((1, 4, 4), (len(views), 4, 4))
    expect(shape in both, f"pixel_to_camera of cameras() of shape {both[0]} or {both[1]}", shape)
    pixel_to_world = cameras.camera_to_world.double() @ cameras.pixel_to_camera.double()
    rows, columns = views.image_shape
    offsets = _pixels(views) - torch.tensor([(columns - 1) / 2, (rows - 1) / 2], device=views.device)
    offsets = torch.nn.functional.pad(offsets, (0, 2), value=1.0)
    target = (offsets @ pixel_to_world.mT)[..., :3]
    source = pixel_to_world[:, None, :3, 3]
    own_source, own_target = views.rays()
    tolerance = _tolerance(views)
    expect_close(source.expand_as(target), own_source.double().expand_as(target), "cameras at the sources", tolerance)
    expect_close(target, own_target.double(), "cameras whose pixels are the targets, row by row", tolerance)


def _pixels(views: Views) -> Tensor:
    """(1, ray, 2): column and row of every ray's pixel."""
    rows, columns = (torch.arange(size, dtype=torch.float64, device=views.device) for size in views.image_shape)
    row, column = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([column, row], dim=-1).reshape(1, -1, 2)


def _check_matrices(views: Views) -> None:
    world_to_pixel = getattr(views, "world_to_pixel", None)
    if world_to_pixel is None:
        return
    expect_shape(world_to_pixel, (len(views), 3, 4), "world_to_pixel")
    source, target = (ends.double() for ends in views.rays())
    expected = _pixels(views).expand(len(views), -1, 2)
    for share in (1.0, 0.4):
        points = torch.nn.functional.pad(source + share * (target - source), (0, 1), value=1.0)
        projected = points @ world_to_pixel.double().mT
        depth = projected[..., 2:]
        expect((depth > 0).all(), "world_to_pixel with a positive depth before the source", float(depth.min()))
        what = f"world_to_pixel to take the point at {share} of a ray to the ray's own pixel"
        # A pixel's place is known as well as that of a ray's ends, which lie far from it.
        size = float((target[:, 1:] - target[:, :-1]).norm(dim=-1).min())
        reach = float(torch.maximum(source.abs().max(), target.abs().max()))
        expect_close(projected[..., :2] / depth, expected, what, _tolerance(views), scale=reach / max(size, 1e-12))


def _check_device(views: Views, device: torch.device) -> None:
    expect(views.to(views.device) == views, "views.to(views.device) == views", "others")
    there = views.to(device)
    expect(there.device.type == device.type, f"views on {device}", there.device)
    for ends in there.rays():
        expect(ends.device.type == device.type, f"rays on {device}", ends.device)
    back = (there.rays()[0].to(views.device), there.rays()[1].to(views.device))
    for name, ours, theirs in zip(("sources", "targets"), back, views.rays(), strict=True):
        expect_close(ours, theirs, f"the same {name} on {device}", _tolerance(views))


def _check_gradients(views: Views) -> None:
    """Whether rays depend on what `parameters()` says, if any of it takes a gradient."""
    asked = [parameter for parameter in views.parameters() if parameter.requires_grad]
    expect(views.requires_grad() == bool(asked), f"requires_grad() to be {bool(asked)}", not asked)
    with torch.no_grad():
        expect(not views.requires_grad(), "requires_grad() to be False under torch.no_grad()", True)
    if asked:
        total = torch.stack([ends.double().square().sum() for ends in views.rays()]).sum()
        expect(total.requires_grad, "rays that depend on the parameters that require a gradient", "rays that do not")
        gradients = torch.autograd.grad(total, asked, allow_unused=True)
        reached = sum(gradient is not None for gradient in gradients)
        expect(reached == len(asked), "gradients for all parameters that require one", f"{reached} of {len(asked)}")
