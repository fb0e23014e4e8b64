"""Volumes in every orientation, and the files that hold them."""

import nibabel
import numpy as np
import SimpleITK as sitk

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def save(path, array, affine):
    """Write with nibabel or SimpleITK, by the name's ending."""
    if path.name.endswith((".nii", ".nii.gz", ".mgz")):
        kind = nibabel.MGHImage if path.suffix == ".mgz" else nibabel.Nifti1Image
        nibabel.save(kind(array, affine), path)
    else:
        sitk.WriteImage(as_sitk(array, affine), str(path))
    return path


def as_sitk(array, affine):
    image = sitk.GetImageFromArray(array.T)
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def affine_of(orientation, spacing=(0.5, 2.0, 3.0), origin=(10.0, -20.0, 5.0)):
    """The affine of axis-aligned voxels whose axes point to the letters given."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, letter in enumerate(orientation):
        world_axis = next(i for i, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        affine[world_axis, axis] = spacing[axis] * (1 if letter in "RAS" else -1)
    affine[:3, 3] = origin
    return affine


def rotated(degrees):
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn


def x_contiguous(data):
    return data.permute(0, 3, 2, 1).is_contiguous()


def assert_same_image(volume, array, affine):
    """Every voxel of the volume is the array's voxel at that place of the world."""
    assert volume.orientation == ("R", "A", "S")
    assert x_contiguous(volume.data)
    indices = np.stack(np.indices(volume.spatial_shape), -1).reshape(-1, 3)
    world = indices @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    found = (world - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    i, j, k = np.rint(found).astype(int).T
    np.testing.assert_allclose(found, np.stack([i, j, k], -1), atol=1e-4)
    np.testing.assert_array_equal(volume.voxels.numpy().reshape(-1), array[i, j, k])
