"""Fiducials and transforms of Slicer and ITK: points where these programs have them."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from real_files import real_data

from raygrad.data import read
from raygrad.formats import read_fiducials, read_transform, write_fiducials, write_transform
from raygrad.pose import AffineTransform, RigidTransform, convert

FCSV = """# Markups fiducial file version = 5.11
# CoordinateSystem = {}
# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID
1,-6.5,51,-10.25,0,0,0,1,1,1,0,apex,,,2,0
2,3,-4,5,0,0,0,1,0,1,0,"left, lower",described,vtk1,2,0
"""
AS_WRITTEN = [[-6.5, 51, -10.25], [3, -4, 5]]
LPS = [[-1, -1, 1]]


@pytest.mark.parametrize(("system", "signs"), [("LPS", LPS), ("1", LPS), ("RAS", [[1, 1, 1]]), ("0", [[1, 1, 1]])])
def test_tables_of_fiducials(tmp_path, system, signs):
    (tmp_path / "F.fcsv").write_text(FCSV.format(system))
    points, labels = read_fiducials(tmp_path / "F.fcsv")
    assert points.tolist() == (np.array(AS_WRITTEN) * signs).tolist()
    assert labels == ("apex", "left, lower")


def markups(system="LPS", **changes):
    points = [
        {"id": "1", "label": "apex", "position": [1, 2, 3], "positionStatus": "defined"},
        {"id": "2", "label": "later", "position": [0, 0, 0], "positionStatus": "undefined"},
        {"id": "3", "label": "base", "position": [4, 5, 6]},
    ]
    first = {"type": "Fiducial", "coordinateSystem": system, "coordinateUnits": "mm", "controlPoints": points} | changes
    return json.dumps({"@schema": "markups", "markups": [first]})


def test_fiducials_in_json(tmp_path):
    for system, signs in (("LPS", (-1, -1, 1)), ("RAS", (1, 1, 1))):
        (tmp_path / "F.mrk.json").write_text(markups(system))
        points, labels = read_fiducials(tmp_path / "F.mrk.json")
        assert points.tolist() == [[signs[0] * 1, signs[1] * 2, 3], [signs[0] * 4, signs[1] * 5, 6]]
        assert labels == ("apex", "base")


@pytest.mark.parametrize("suffix", [".mrk.json", ".fcsv"])
def test_fiducials_are_read_as_they_were_written(tmp_path, suffix):
    points, labels = torch.randn(3, 3, dtype=torch.float64), ["a", "b, c", 'say "d"']
    write_fiducials(tmp_path / f"F{suffix}", points, labels)
    found = read_fiducials(tmp_path / f"F{suffix}")
    torch.testing.assert_close(found.points, points, atol=0, rtol=0)
    assert found.labels == tuple(labels)
    assert "LPS" in (tmp_path / f"F{suffix}").read_text()
    with pytest.raises(ValueError, match="label for each of 3"):
        write_fiducials(tmp_path / f"F{suffix}", points, ["a"])
    with pytest.raises(ValueError, match="ends in"):
        write_fiducials(tmp_path / "F.csv", points)


DAMAGES = {
    "no system": (markups(coordinateSystem=None), "LPS or RAS .* Got None"),
    "another system": (markups("IJK"), "Got 'IJK'"),
    "metres": (markups(coordinateUnits="m"), "in mm. Got 'm'"),
    "two numbers": (markups(controlPoints=[{"label": "apex", "position": [1, 2]}]), "'apex'. Got"),
    "no markups": ("{}", "has none"),
    "no header": ("1,2,3\n", "columns"),
    "no system in a table": (FCSV.replace("# CoordinateSystem = {}\n", ""), "LPS or RAS .* Got None"),
    "a word": (FCSV.format("LPS").replace("-6.5", "far"), "'apex'"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_fiducials_are_refused_with_the_reason(tmp_path, damage):
    text, reason = DAMAGES[damage]
    (tmp_path / "F.json").write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_fiducials(tmp_path / "F.json")
    with pytest.raises(FileNotFoundError):
        read_fiducials(tmp_path / "none.fcsv")


def test_real_fiducials_lie_in_the_chest_that_they_were_set_in():
    folder = real_data("ct_slicer")
    points, labels = read_fiducials(folder / "F_1.fcsv")
    assert (len(points), labels[3]) == (12, "Different name")
    image = sitk.ReadImage(str(folder / "CTChest4.nrrd"))  # SimpleITK's world is LPS
    for point in points.tolist():
        index = image.TransformPhysicalPointToContinuousIndex((-point[0], -point[1], point[2]))
        assert all(-0.5 <= i <= size - 0.5 for i, size in zip(index, image.GetSize(), strict=True))
        assert abs(index[2] - round(index[2])) < 0.02  # set on a slice


def itk_rigid():
    transform = sitk.Euler3DTransform()
    transform.SetRotation(0.1, -0.2, 0.3)
    transform.SetTranslation((10.0, -20.0, 30.0))
    transform.SetCenter((5.0, 6.0, 7.0))
    return transform


def map_by_itk(transform, points):
    return np.array([transform.TransformPoint((-x, -y, z)) for x, y, z in points]) * LPS


@pytest.mark.parametrize("suffix", [".tfm", ".h5", ".txt"])
def test_transforms_map_points_as_itk_does(tmp_path, suffix):
    points = np.random.default_rng(0).normal(size=(5, 3)) * 50
    stretching = sitk.AffineTransform(3)
    stretching.SetMatrix((1.2, 0.1, 0, 0, 0.9, 0, 0.2, 0, 1))
    for transform, kind in (
        (itk_rigid(), RigidTransform),
        (sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), RigidTransform),
        (sitk.CompositeTransform([itk_rigid(), itk_rigid()]), RigidTransform),
        (stretching, AffineTransform),
    ):
        sitk.WriteTransform(transform, str(tmp_path / f"a{suffix}"))
        found = read_transform(tmp_path / f"a{suffix}")
        assert type(found) is kind
        mapped = np.c_[points, np.ones(5)] @ found.matrix[0].numpy().T
        np.testing.assert_allclose(mapped[:, :3], map_by_itk(transform, points), atol=1e-9)
        # Written by us, mapped by ITK.
        write_transform(tmp_path / f"b{suffix}", found)
        again = sitk.ReadTransform(str(tmp_path / f"b{suffix}"))
        np.testing.assert_allclose(map_by_itk(again, points), mapped[:, :3], atol=1e-9)


def test_a_pose_goes_through_a_transform(tmp_path):
    angles, xyz = torch.tensor([[10.0, 20.0, 30.0]]), torch.tensor([[1.0, 850.0, -3.0]])
    pose = convert(angles, xyz, parameterization="euler_angles", convention="ZXY", degrees=True)
    write_transform(tmp_path / "pose.tfm", pose)
    torch.testing.assert_close(read_transform(tmp_path / "pose.tfm").matrix, pose.matrix.double(), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match=r"one finite transform\. Got 2"):
        write_transform(tmp_path / "pose.tfm", RigidTransform(torch.eye(4).repeat(2, 1, 1)))
    with pytest.raises(ValueError, match="ends in"):
        write_transform(tmp_path / "pose.mat", pose)


def test_a_volume_is_moved_onto_the_image_that_it_was_registered_to(tmp_path):
    """ITK resamples a moving image at transformed points; the inverse moves the volume, and what is in it, there."""
    image = sitk.GetImageFromArray(np.zeros((4, 5, 6), dtype=np.float32))
    image.SetOrigin((-3.0, 2.0, 1.0))
    sitk.WriteImage(image, str(tmp_path / "moving.nii"))
    sitk.WriteTransform(itk_rigid(), str(tmp_path / "fixed_to_moving.tfm"))
    there = read_transform(tmp_path / "fixed_to_moving.tfm").inverse()
    subject = read(
        tmp_path / "moving.nii", transform=there, fiducials=torch.tensor([[-1.0, -2.0, 3.0]]), center_volume=False
    )
    fixed = itk_rigid().GetInverse().TransformPoint((1.0, 2.0, 3.0))
    np.testing.assert_allclose(subject.fiducials[0, 0] * torch.tensor([-1, -1, 1]), fixed, atol=1e-4)


def test_transforms_that_are_not_affine_are_refused(tmp_path):
    field = sitk.DisplacementFieldTransform(sitk.Image([4, 4, 4], sitk.sitkVectorFloat64))
    sitk.WriteTransform(field, str(tmp_path / "field.h5"))
    with pytest.raises(ValueError, match=r"rigid or affine .* Got DisplacementField"):
        read_transform(tmp_path / "field.h5")
    sitk.WriteTransform(sitk.Euler2DTransform(), str(tmp_path / "flat.tfm"))
    with pytest.raises(ValueError, match="2D points"):
        read_transform(tmp_path / "flat.tfm")
    (tmp_path / "text.tfm").write_text("none")
    with pytest.raises(ValueError, match="cannot be read"):
        read_transform(tmp_path / "text.tfm")
    with pytest.raises(FileNotFoundError):
        read_transform(tmp_path / "none.tfm")
