"""Run by `test_kernels.py` in a process of its own, with RAYGRAD_INSTRUCTION_SET set: the compiled marches against the
reference on every scene. Prints the instruction set, or "absent".
"""

import torch
from kernel_cases import scenes
from mesh_cases import mesh_scenes

from raygrad.kernels import backproject, project, project_mesh_with_jacobian, project_with_jacobian
from raygrad.kernels._backends import import_extension


def main() -> None:
    try:
        name = import_extension().instruction_set()
    except ValueError:
        print("absent")
        return
    for title, scene in scenes().items():
        for renderer in ("siddon", "joseph", "trilinear"):
            settings = {
                "renderer": renderer,
                "n_points": 12,
                "labels": scene.labels,
                "image_width": scene.image_width,
            }
            image, jacobian = project_with_jacobian(scene.volume, *scene.rays, **settings, backend="reference")
            spread = backproject(image, scene.volume, *scene.rays, **settings, backend="reference")
            ours = (
                *project_with_jacobian(scene.volume, *scene.rays, **settings, backend="cpu"),
                backproject(image, scene.volume, *scene.rays, **settings, backend="cpu"),
            )
            for got, expected in zip(ours, (image, jacobian, spread), strict=True):
                message = f"{title}, {renderer}: off by {(got - expected).abs().max():.1e}"
                torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9, msg=message)
            rays = (scene.source.float(), scene.target.float(), scene.world_to_voxel)
            rounded = project(scene.volume.float(), *rays, **settings, backend="cpu")
            assert (rounded - image).abs().max() <= 1e-5 * image.max(), f"{title}, {renderer}, float32"
    for title, scene in mesh_scenes().items():
        expected = project_mesh_with_jacobian(*scene.tensors, backend="reference")
        ours = project_mesh_with_jacobian(*scene.tensors, **scene.hint, backend="cpu")
        for got, wanted in zip(ours, expected, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9, msg=f"a mesh, {title}")
    print(name)


if __name__ == "__main__":
    main()
