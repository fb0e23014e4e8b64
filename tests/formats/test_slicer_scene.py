"""Scenes of 3D Slicer, by what other readers find in them: SimpleITK in volumes, json in markups, XML in the scene."""

import json
import re
import zipfile
from xml.etree import ElementTree

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from raygrad.data import Volume
from raygrad.formats import InputError, View, join_views, write_scene
from raygrad.geometry import Intrinsics
from raygrad.pose import convert

ROWS, COLUMNS = 20, 30
AFFINE = np.array([[-2.0, 0, 0, 110], [0, 0, 3.0, -240], [0, -2, 0, 900], [0, 0, 0, 1]])
TO_LPS = np.array([-1.0, -1.0, 1.0])
BUILT_IN = "vtkMRMLColorTableNodeGrey"  # of Slicer itself


def views_about(centre, orientation="AP", mirrored=True):
    views = []
    for number, angle in enumerate((10.0, 75.0)):
        pose = convert(
            torch.tensor([[angle, -5.0, 3.0]]),
            torch.tensor([[4.0, 850.0, -7.0]]),
            parameterization="euler_angles",
            convention="ZXY",
            degrees=True,
        )
        intrinsics = Intrinsics(1020.0 + number, ROWS, COLUMNS, 2.0, 1.5, 5.0, -3.0, mirrored)
        views.append(View(pose, intrinsics, orientation))
    joined = join_views(views)
    motion = torch.eye(4)
    motion[:3, 3] = torch.as_tensor(centre)
    return joined.moved(convert(motion, parameterization="matrix"))


def scene_of(tmp_path, views, shape=(ROWS, COLUMNS)):
    """The folder of a scene, and its X-rays."""
    generator = torch.Generator().manual_seed(0)
    xrays = [torch.rand(shape, generator=generator) for _ in range(len(views))]
    ct = Volume(torch.arange(8 * 9 * 10, dtype=torch.int16).reshape(8, 9, 10), AFFINE)
    write_scene(tmp_path / "Found.mrb", ct, views, xrays, ["a.png", "b & <c>.png"])
    with zipfile.ZipFile(tmp_path / "Found.mrb") as bundle:
        assert bundle.testzip() is None
        assert {name.split("/")[0] for name in bundle.namelist()} == {"Found"}
        bundle.extractall(tmp_path / "out")
    return tmp_path / "out" / "Found", xrays


@pytest.mark.parametrize("orientation", ["AP", "PA", None])
@pytest.mark.parametrize("mirrored", [True, False])
@pytest.mark.parametrize("finer", [1, 2])
def test_a_point_its_pixel_and_the_source_are_on_one_line(tmp_path, orientation, mirrored, finer):
    centre = np.array([103.0, -225.0, 890.0])
    views = views_about(centre, orientation, mirrored)
    folder, xrays = scene_of(tmp_path, views, (finer * ROWS, finer * COLUMNS))
    points = centre + np.array([[0.0, 0, 0], [3, -4, 5], [-8, 2, 6], [6, 7, -9]])
    for number, (projection, xray) in enumerate(zip(views.world_to_pixel.numpy(), xrays, strict=True), start=1):
        image = sitk.ReadImage(str(folder / f"Data/X-ray-{number}.nrrd"))
        assert image.GetSize() == (finer * COLUMNS, finer * ROWS, 1)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image)[0], xray.numpy())
        assert np.linalg.det(np.reshape(image.GetDirection(), (3, 3))) == pytest.approx(1)
        markups = json.loads((folder / f"Data/Source-{number}.mrk.json").read_text())["markups"][0]
        assert markups["coordinateSystem"] == "LPS"
        source = np.array(markups["controlPoints"][0]["position"]) * TO_LPS
        np.testing.assert_allclose(source, views.source[number - 1].numpy(), atol=1e-3)
        for point in points:
            column, row, depth = projection @ [*point, 1]
            u, v = finer * (column / depth + 0.5) - 0.5, finer * (row / depth + 0.5) - 0.5
            pixel = np.array(image.TransformContinuousIndexToPhysicalPoint((u, v, 0.0))) * TO_LPS
            along, beyond = point - source, pixel - source
            # The detector's plane is at sdd along the normal, and depth counts along it too.
            np.testing.assert_allclose(beyond, along * (1019.0 + number) / depth, atol=2e-3)


def test_the_beam_ends_in_the_corners_of_the_detector(tmp_path):
    views = views_about([103.0, -225.0, 890.0])
    folder, _ = scene_of(tmp_path, views)
    lines = (folder / "Data/Beam-2.vtk").read_text().splitlines()
    assert lines[0] == "# vtk DataFile Version 3.0"
    assert "SPACE=RAS" in lines[1]
    assert lines[2:5] == ["ASCII", "DATASET POLYDATA", "POINTS 5 double"]
    source, *corners = np.loadtxt(lines[5:10])
    assert lines[10:] == ["LINES 4 12", "2 0 1", "2 0 2", "2 0 3", "2 0 4"]
    np.testing.assert_allclose(source, views.source[1].numpy(), atol=1e-3)
    for corner, expected in zip(corners, [(0, 0), (COLUMNS, 0), (COLUMNS, ROWS), (0, ROWS)], strict=True):
        column, row, depth = views.world_to_pixel[1].numpy() @ [*corner, 1]
        assert (column / depth + 0.5, row / depth + 0.5) == pytest.approx(expected, abs=1e-3)
        assert depth == pytest.approx(1021.0, abs=1e-3)


def test_the_ct_lies_where_its_file_has_it(tmp_path):
    folder, _ = scene_of(tmp_path, views_about([0.0, 0, 0]))
    image = sitk.ReadImage(str(folder / "Data/CT.nrrd"))
    for voxel in ((0, 0, 0), (7, 8, 9), (3, 1, 4)):
        assert image[voxel] == np.ravel_multi_index(voxel, (8, 9, 10))
        found = np.array(image.TransformIndexToPhysicalPoint(voxel)) * TO_LPS
        np.testing.assert_allclose(found, (AFFINE @ [*voxel, 1])[:3])


def test_every_file_and_reference_is_there(tmp_path):
    folder, _ = scene_of(tmp_path, views_about([0.0, 0, 0]))
    root = ElementTree.parse(folder / "Found.mrml").getroot()
    assert root.tag == "MRML"
    identities = [node.get("id") for node in root]
    assert len(set(identities)) == len(identities)
    stored = [node.get("fileName") for node in root if node.tag.endswith("Storage")]
    assert sorted(stored) == sorted(f"Data/{file.name}" for file in (folder / "Data").iterdir())
    used = [
        (role.split(":")[0], identity)
        for node in root
        for role in node.get("references", "").split(";")
        if role
        for identity in role.split(":")[1].split()
    ]
    assert {identity for _, identity in used} <= set(identities)
    assert set(identities) - {identity for _, identity in used} == {
        node.get("id") for node in root if node.tag in ("Volume", "Model", "MarkupsFiducial")
    }
    tags = {node.get("id"): node.tag for node in root}
    for node in root:
        if node.get("references", "").count(":") == 2:
            pair = dict(part.split(":") for part in node.get("references").split(";") if part)
            expected = {
                "Volume": ("VolumeDisplay", "VolumeArchetypeStorage"),
                "Model": ("ModelDisplay", "ModelStorage"),
                "MarkupsFiducial": ("MarkupsFiducialDisplay", "MarkupsJsonStorage"),
            }[node.tag]
            assert (tags[pair["display"]], tags[pair["storage"]]) == expected
    names = [node.get("name") for node in root if node.tag == "Volume"]
    assert names == ["CT", "X-ray 1 (a.png)", "X-ray 2 (b & <c>.png)"]


# What `ReadXMLAttributes` of each node's class in Slicer 5 takes: the names of attributes, and what they may be.
FLAG, NUMBER, COLOUR = r"true|false", r"[0-9.]+", r"[01](\.\d+)?( [01](\.\d+)?){2}"
OF_ALL = {"id": r"vtkMRML\w+Node\d+", "name": ".+", "hideFromEditors": FLAG, "references": r"(\w+:\w+;)+"}
OF_STORAGE = {"fileName": r"Data/[\w-]+\.(nrrd|vtk|mrk\.json)"}
OF_DISPLAY = {"visibility": FLAG, "color": COLOUR, "selectedColor": COLOUR, "lineWidth": NUMBER, "lighting": FLAG}
NODES = {  # by tag: class, roles of references, attributes
    "Volume": ("vtkMRMLScalarVolumeNode", {"display", "storage"}, {}),
    "VolumeArchetypeStorage": (
        "vtkMRMLVolumeArchetypeStorageNode",
        set(),
        OF_STORAGE | {"centerImage": "0", "UseOrientationFromFile": "1"},
    ),
    "VolumeDisplay": (
        "vtkMRMLScalarVolumeDisplayNode",
        set(),
        OF_DISPLAY | {"autoWindowLevel": "0|1", "colorNodeID": BUILT_IN},
    ),
    "MarkupsFiducial": ("vtkMRMLMarkupsFiducialNode", {"display", "storage"}, {}),
    "MarkupsJsonStorage": ("vtkMRMLMarkupsJsonStorageNode", set(), OF_STORAGE | {"coordinateSystem": "LPS|RAS"}),
    "MarkupsFiducialDisplay": ("vtkMRMLMarkupsFiducialDisplayNode", set(), OF_DISPLAY),
    "Model": ("vtkMRMLModelNode", {"display", "storage"}, {}),
    "ModelStorage": ("vtkMRMLModelStorageNode", set(), OF_STORAGE | {"coordinateSystem": "LPS|RAS"}),
    "ModelDisplay": ("vtkMRMLModelDisplayNode", set(), OF_DISPLAY),
}


def test_nodes_have_what_slicer_reads(tmp_path):
    folder, _ = scene_of(tmp_path, views_about([0.0, 0, 0]))
    root = ElementTree.parse(folder / "Found.mrml").getroot()
    assert re.fullmatch(r"Slicer\d+\.\d+\.\d+", root.get("version"))
    assert {node.tag for node in root} == set(NODES)
    for node in root:
        assert len(node) == 0  # nodes are not nested
        kind, roles, attributes = NODES[node.tag]
        assert re.fullmatch(rf"{kind}\d+", node.get("id"))
        known = OF_ALL | attributes
        assert set(node.attrib) <= set(known), node.tag
        for name, value in node.attrib.items():
            assert re.fullmatch(known[name], value), (node.tag, name)
        assert ("colorNodeID" in node.attrib) == (node.tag == "VolumeDisplay")
        assert {role.split(":")[0] for role in node.get("references", "").split(";") if role} == roles
        assert (node.get("hideFromEditors") == "true") == node.tag.endswith(("Storage", "Display"))
        if node.tag.endswith("Storage"):
            assert "%" not in node.get("fileName")  # which Slicer would decode
    with zipfile.ZipFile(tmp_path / "Found.mrb") as bundle:  # Slicer opens the .mrml that is nearest to the root
        assert [name for name in bundle.namelist() if name.endswith(".mrml")] == ["Found/Found.mrml"]
        assert all(name.startswith("Found/") and "\\" not in name for name in bundle.namelist())
    for file, system in (("Source-1.mrk.json", '"coordinateSystem": "LPS"'), ("Beam-1.vtk", "SPACE=RAS")):
        assert system in (folder / "Data" / file).read_text()
        stored = next(node for node in root if node.get("fileName") == f"Data/{file}")
        assert stored.get("coordinateSystem") == system.strip('"')[-3:]


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path):
    views, ct = views_about([0.0, 0, 0]), Volume(torch.zeros(2, 2, 2), np.eye(4))
    image = torch.zeros(ROWS, COLUMNS)
    with pytest.raises(InputError, match="an X-ray for each of 2 view"):
        write_scene(tmp_path / "a.mrb", ct, views, [image])
    with pytest.raises(InputError, match=r"30 x 20 pixels of view 2.*Got 20 x 30"):
        write_scene(tmp_path / "a.mrb", ct, views, [image, image.T])
    with pytest.raises(InputError, match=r"ends in \.mrb"):
        write_scene(tmp_path / "a.zip", ct, views, [image, image])
    with pytest.raises(FileNotFoundError, match="no folder"):
        write_scene(tmp_path / "none" / "a.mrb", ct, views, [image, image])
    assert not list(tmp_path.iterdir())
