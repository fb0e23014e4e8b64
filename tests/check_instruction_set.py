"""Run by `test_kernels.py` in a process of its own, with RAYGRAD_INSTRUCTION_SET set: the compiled marches against the
reference on every scene. Prints the instruction set, or "absent".
"""

import torch
from kernel_cases import scenes

from raygrad.kernels import _march, backproject, project, project_with_jacobian


def main() -> None:
    try:
        name = _march.instruction_set()
    except ValueError:
        print("absent")
        return
    for title, scene in scenes().items():
        for method in ("siddon", "joseph", "trilinear"):
            settings = {
                "method": method,
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
                message = f"{title}, {method}: off by {(got - expected).abs().max():.1e}"
                torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9, msg=message)
            rays = (scene.source.float(), scene.target.float(), scene.world_to_voxel)
            rounded = project(scene.volume.float(), *rays, **settings, backend="cpu")
            assert (rounded - image).abs().max() <= 1e-5 * image.max(), f"{title}, {method}, float32"
    print(name)


if __name__ == "__main__":
    main()
