"""What every backend of the kernels promises."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from raygrad import kernels
from raygrad.pose import random_rigid_transform
from raygrad.testing._cases import Case, cases
from raygrad.testing._expect import expect, expect_close

N_POINTS = 12
"""Samples a ray of "trilinear": few, and an even number, so that none lies midway between two labels."""
TOLERANCES = {torch.float64: 1e-9, torch.float32: 2e-4, torch.float16: 2e-3, torch.bfloat16: 2e-3}
"""Of images against the reference in float64; rays of single precision may graze another voxel."""


def check_backend(
    name: str,
    *,
    renderers: Sequence[str] | None = None,
    dtypes: Sequence[torch.dtype] | None = None,
    device: torch.device | str | None = None,
) -> None:
    """See that a backend of the kernels does what the reference does, on a dozen small volumes.

    - Line integrals, greatest values, and the parts of structures are those of the reference, for cones, scattered
      rays, rays along axes and faces, ends inside, single layers, batches, any strides, skipped air.
    - The derivatives of every ray by its own ends are the reference's and those of finite differences, and so are the
      gradients for volume, sources and targets.
    - `backproject` is the adjoint, <A x, y> = <x, A^T y>, and writes to nothing but the voxels of its output.
    - Rays that miss the volume, or have no length, give exactly 0, with derivatives of 0 and nothing to spread.
    - Images straight from cameras are those along their rays, and voxel-driven back projection is the reference's.

    Args:
        name: of the backend, one of `raygrad.kernels.available_backends()`.
        renderers: those to look at; by default all that the backend says it has.
        dtypes: of the volumes; by default all of the backend's. Derivatives are looked at in float64, if it is there.
        device: where its tensors have to be; by default one of its own kinds, or the CPU.

    Raises:
        ValueError: there is no such backend, or it cannot be used here: says why.
        AssertionError: a promise is broken; says which.
    """
    usable = kernels.available_backends()
    if name not in usable or not usable[name][0]:
        got = f"{name!r}, {usable[name][1]}" if name in usable else repr(name)
        raise ValueError(f"Expected a backend among {', '.join(usable)} that can be used here. Got {got}.")
    record = kernels.BACKENDS[name]
    if device is None:
        at_hand = [kind for kind in record.devices if kind == "cpu" or getattr(torch, kind).is_available()]
        device = at_hand[0] if at_hand else "cpu"
    check = _Check(name, torch.device(device))
    exact = torch.float64 if not record.dtypes or torch.float64 in record.dtypes else torch.float32
    for renderer in renderers or tuple(record.renderers):
        check.misses(renderer, exact)
        for title, case in cases().items():
            check.images(renderer, title, case, exact)
            if case.general:
                check.derivatives(renderer, title, case, exact)
            check.adjoint(renderer, title, case, exact)
        check.differences(renderer, exact)
        check.layouts(renderer, exact)
        check.cameras(renderer, exact)
        for dtype in dtypes or tuple(record.dtypes):
            check.precision(renderer, dtype)
    check.voxel_driven(exact)


class _Check:
    def __init__(self, backend: str, device: torch.device) -> None:
        self.backend, self.device = backend, device

    def _options(self, case: Case, renderer: str, **more: Any) -> dict[str, Any]:
        options = {"renderer": renderer, "n_points": N_POINTS, "labels": case.labels, "image_width": case.image_width}
        return options | {"backend": self.backend} | more

    def images(self, renderer: str, title: str, case: Case, dtype: torch.dtype) -> None:
        there = case.on(self.device, dtype)
        for reducefn in ("sum", "max") if case.labels is None else ("sum",):
            options = {"reducefn": reducefn}
            reference = self._options(case, renderer, **options) | {"backend": "reference"}
            theirs = kernels.project(case.volume, *case.rays, **reference)
            for occupancy in (None, kernels.prepare(there.volume)):
                settings = self._options(there, renderer, occupancy=occupancy, **options)
                ours = kernels.project(there.volume, *there.rays, **settings)
                skipping = "" if occupancy is None else ", with air that may be skipped"
                what = f"the reference's image ({renderer}, {reducefn}; {title}{skipping})"
                expect_close(ours, theirs, what, TOLERANCES[dtype])

    def derivatives(self, renderer: str, title: str, case: Case, dtype: torch.dtype) -> None:
        there = case.on(self.device, dtype)
        reference = {"backend": "reference"}
        image, jacobian = kernels.project_with_jacobian(there.volume, *there.rays, **self._options(there, renderer))
        other = kernels.project_with_jacobian(case.volume, *case.rays, **self._options(case, renderer) | reference)
        tolerance = 10 * TOLERANCES[dtype]
        expect_close(image, other[0], f"the reference's image, with its derivatives ({renderer}; {title})", tolerance)
        expect_close(jacobian, other[1], f"the reference's derivatives by both ends ({renderer}; {title})", tolerance)
        for what, ours, theirs in zip(
            ("volume", "sources", "targets"),
            _gradients(there, self._options(there, renderer)),
            _gradients(case, self._options(case, renderer) | reference),
            strict=True,
        ):
            expect_close(ours, theirs, f"the reference's gradient for the {what} ({renderer}; {title})", tolerance)

    def adjoint(self, renderer: str, title: str, case: Case, dtype: torch.dtype) -> None:
        there = case.on(self.device, dtype)
        options = self._options(there, renderer)
        image = kernels.project(there.volume, *there.rays, **options)
        cotangent = _random_like(image)
        spread = kernels.backproject(cotangent, there.volume, *there.rays, **options)
        left = (image.double() * cotangent.double()).sum()
        right = (there.volume.double() * spread.double()).sum()
        terms = float((image.double() * cotangent.double()).abs().sum())
        tolerance = 1e-10 if dtype == torch.float64 else 1e-4
        what = f"<A x, y> = <x, A^T y> ({renderer}; {title})"
        expect_close(right, left, what, tolerance, scale=terms)
        reference = self._options(case, renderer) | {"backend": "reference"}
        theirs = kernels.backproject(cotangent.to("cpu", torch.float64), case.volume, *case.rays, **reference)
        expect_close(spread, theirs, f"the reference's back projection ({renderer}; {title})", 10 * TOLERANCES[dtype])

    def misses(self, renderer: str, dtype: torch.dtype) -> None:
        for title in ("rays that miss", "rays without length"):
            case = cases()[title].on(self.device, dtype)
            options = self._options(case, renderer)
            image, jacobian = kernels.project_with_jacobian(case.volume, *case.rays, **options)
            spread = kernels.backproject(torch.ones_like(image), case.volume, *case.rays, **options)
            greatest = kernels.project(case.volume, *case.rays, **options, reducefn="max")
            found = {"image": image, "greatest value": greatest, "back projection": spread}
            if title == "rays that miss":
                found["derivatives"] = jacobian
            for what, values in found.items():
                wrong = int(values.count_nonzero())
                expect(wrong == 0, f"exact zeros in the {what} of {title} ({renderer})", f"{wrong} other numbers")
            expect(jacobian.isfinite().all(), f"finite derivatives of {title} ({renderer})", "NaN or infinity")

    def differences(self, renderer: str, dtype: torch.dtype) -> None:
        if dtype != torch.float64:
            return
        case = cases()["rays in all directions"].on(self.device, dtype)
        options, step = self._options(case, renderer), 1e-6
        _, jacobian = kernels.project_with_jacobian(case.volume, *case.rays, **options)
        sides = []
        for sign in (-1, 1):
            nudge = sign * step * torch.eye(6, dtype=dtype, device=self.device)[:, None]
            source, target = case.source + nudge[..., :3], case.target + nudge[..., 3:]
            sides.append(kernels.project(case.volume, source, target, case.world_to_voxel, **options)[:, 0])
        differences = ((sides[1] - sides[0]) / (2 * step)).T[None, None]
        expect_close(jacobian, differences, f"derivatives that are central differences ({renderer})", 1e-5)

    def layouts(self, renderer: str, dtype: torch.dtype) -> None:
        case = cases()["rays in all directions"].on(self.device, dtype)
        options = self._options(case, renderer)
        image = kernels.project(case.volume, *case.rays, **options)
        cotangent = _random_like(image)
        spread = kernels.backproject(cotangent, case.volume, *case.rays, **options)
        tolerance = TOLERANCES[dtype]
        padded = torch.full([2 * n + 2 for n in case.volume.shape], 7.0, dtype=dtype, device=self.device)
        layouts = {
            "x fastest": torch.empty_like(case.volume.permute(2, 1, 0).contiguous()).permute(2, 1, 0),
            "with gaps": padded[1:-1:2, 1:-1:2, 1:-1:2],
        }
        for title, memory in layouts.items():
            memory.copy_(case.volume)
            ours = kernels.project(memory, *case.rays, **options)
            expect_close(ours, image, f"the same image of a volume {title} ({renderer})", tolerance)
            kernels.backproject(cotangent, case.volume, *case.rays, **options, out=memory)
            expect_close(memory, spread, f"the same back projection into a volume {title} ({renderer})", tolerance)
        layouts["with gaps"].fill_(7.0)
        beside = int((padded != 7.0).sum())
        expect(beside == 0, f"memory beside the output left alone ({renderer})", f"{beside} other numbers written")

    def cameras(self, renderer: str, dtype: torch.dtype) -> None:
        case = cases()["rays in all directions"].on(self.device, dtype)
        generator = torch.Generator().manual_seed(3)
        pose = random_rigid_transform(2, generator=generator).matrix.to(self.device, dtype)
        pixel_to_camera = torch.tensor(
            [[[-2.1, 0, 0.7, 0], [0, -1.9, -0.4, 0], [0, 0, 30, 0], [0, 0, 0, 1]]], dtype=dtype, device=self.device
        )
        middle = torch.tensor([3.0, 2.5, 2.0], dtype=dtype, device=self.device)
        pose[:, :3, 3] = middle - 15 * pose[:, :3, 2]
        height, width = 4, 5
        pixels = _pixels(height, width).to(self.device, dtype)
        world = pose @ pixel_to_camera
        source, target = world[:, None, :3, 3], (pixels @ world.mT)[..., :3]
        options = self._options(case, renderer)
        del options["image_width"]
        of_cameras = options | {"height": height, "width": width}
        cameras = (pose, pixel_to_camera, case.world_to_voxel)
        expected = kernels.project_with_jacobian(case.volume, source, target, case.world_to_voxel, **options)
        expect(expected[0].any(), "rays of cameras that meet the volume", "none")
        found = kernels.project_cameras_with_jacobian(case.volume, *cameras, **of_cameras)
        image = kernels.project_cameras(case.volume, *cameras, **of_cameras)
        tolerance = 10 * TOLERANCES[dtype]
        for ours in (found[0], image):
            expect_close(ours, expected[0], f"the image of cameras to be that along their rays ({renderer})", tolerance)
        expect_close(found[1], expected[1], f"derivatives of cameras to be their rays' ({renderer})", tolerance)
        cotangent = _random_like(image)
        theirs = kernels.backproject(cotangent, case.volume, source, target, case.world_to_voxel, **options)
        spread = kernels.backproject_cameras(cotangent, case.volume, *cameras, **of_cameras)
        expect_close(spread, theirs, f"the back projection of cameras to be that of their rays ({renderer})", tolerance)

    def precision(self, renderer: str, dtype: torch.dtype) -> None:
        case = cases()["sheared voxels of three sizes"].on(self.device, torch.float64)
        rounded = case.on(self.device, dtype)
        sums = kernels.sums_in(dtype)
        exact = case.on(torch.device("cpu"), torch.float64)
        exact = Case(rounded.volume.to("cpu", torch.float64), *exact.rays, exact.image_width)
        options = self._options(case, renderer)
        ours = kernels.project(
            rounded.volume, case.source.to(sums), case.target.to(sums), case.world_to_voxel, **options
        )
        expect(ours.dtype == sums, f"images in {sums} of volumes in {dtype} ({renderer})", ours.dtype)
        theirs = kernels.project(exact.volume, *exact.rays, **options | {"backend": "reference"})
        expect_close(ours, theirs, f"the reference's image of a volume in {dtype} ({renderer})", TOLERANCES[dtype])

    def voxel_driven(self, dtype: torch.dtype) -> None:
        generator = torch.Generator().manual_seed(5)
        images = torch.rand(3, 4, 5, generator=generator, dtype=torch.float64)
        maps = torch.rand(3, 3, 4, generator=generator, dtype=torch.float64) * 0.3
        maps[:, 2, 3] += 1.0
        distance = 1 + torch.rand(3, generator=generator, dtype=torch.float64)
        theirs = kernels.add_voxel_driven_(
            torch.ones(6, 5, 4, dtype=torch.float64), images, maps, distance, backend="reference"
        )
        volume = torch.ones(6, 5, 4, dtype=dtype, device=self.device)
        arguments = (images.to(self.device, dtype), maps.to(self.device), distance.to(self.device))
        ours = kernels.add_voxel_driven_(volume, *arguments, backend=self.backend)
        expect(ours is volume, "the volume that is added to", "another")
        expect((theirs != 1).any(), "images that voxels read", "none")
        expect_close(ours, theirs, "the reference's voxel-driven back projection", TOLERANCES[dtype])


def _gradients(case: Case, options: dict[str, Any]) -> tuple[Tensor, ...]:
    volume, source, target = (tensor.clone().requires_grad_() for tensor in (case.volume, case.source, case.target))
    image = kernels.project(volume, source, target, case.world_to_voxel, **options)
    return torch.autograd.grad(image, (volume, source, target), _random_like(image), materialize_grads=True)


def _random_like(image: Tensor) -> Tensor:
    values = torch.rand(image.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64) - 0.5
    return values.to(image)


def _pixels(height: int, width: int) -> Tensor:
    """(1, height * width, 4): (right, down, 1, 1) of every pixel, from the middle of the image."""
    row = torch.arange(height, dtype=torch.float64) - (height - 1) / 2
    column = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    down, right = torch.meshgrid(row, column, indexing="ij")
    offsets = torch.stack([right, down], dim=-1).reshape(1, -1, 2)
    return torch.nn.functional.pad(offsets, (0, 2), value=1.0)
