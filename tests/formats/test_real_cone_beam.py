"""A real radiogram, the scanner's own file, and the maker's reconstruction: `fdk` agrees from the files alone.

The specimen (axitom, MIT) is a body of revolution, so its one radiogram is that of every angle.
"""

from dataclasses import replace

import torch
from real_files import real_data
from torch.nn import functional

import raygrad as rg

COARSE = 4


def coarse(image):
    return functional.avg_pool2d(image[None, None], COARSE)[0, 0]


def axis_of(image):
    """The column about which the image is its own mirror image."""
    width = image.shape[1]
    middles = range(width - 60, width + 60)  # twice the column

    def difference(middle):
        first, last = max(0, middle - width + 1), min(width - 1, middle)
        part = image[:, first : last + 1]
        return (part - part.flip(1)).square().mean()

    return min(middles, key=difference) / 2


def test_fdk_agrees_with_the_makers_slice():
    folder = real_data("conebeam")
    views = rg.read_geometry(folder / "radiogram.xtekct")[::COARSE]
    image = -rg.read_xray(folder / "radiogram.tif").pixels.log()
    maker = rg.read_xray(folder / "recon_by_external_software.tif").pixels[:1996]
    assert image.shape == views.image_shape == (2000, 1500)

    fine = views.detector.intrinsics.detached()
    off = (axis_of(image) - (fine.width - 1) / 2) * fine.delx
    camera = replace(
        fine,
        height=fine.height // COARSE,
        width=fine.width // COARSE,
        delx=COARSE * fine.delx,
        dely=COARSE * fine.dely,
        x0=off if fine.reverse_x_axis else -off,
    )
    views = rg.ConeViews(views.detector.with_intrinsics(camera), views.pose)
    images = coarse(image).expand(len(views), -1, -1).contiguous()

    voxel = 0.013614837863123  # VoxelSizeX
    rows, columns = (size // COARSE for size in maker.shape)
    middle = (COARSE - 1) / 2
    # The axis is between the maker's voxels, of which there are 2000; the slice has 1999.
    affine = torch.diag(torch.tensor([COARSE * voxel, COARSE * voxel, COARSE * voxel, 1.0], dtype=torch.float64))
    affine[0, 3], affine[2, 3] = (middle - 0.5) * voxel, (middle - 998.5) * voxel
    grid = rg.VolumeGeometry((columns, 1, rows), affine.numpy())
    found = rg.reconstruct(images, views, grid, method="fdk", filter="hann").volume[:, 0].T

    within = slice(25, -25)  # the ends are not in all views
    pair = torch.stack([found[within].flatten(), coarse(maker)[within].flatten()])
    assert torch.corrcoef(pair)[0, 1] > 0.995
