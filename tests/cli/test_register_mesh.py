"""`raygrad register --mesh`: an implant that is found with the CT, and where it is written and read again."""

import json

import pytest
import SimpleITK as sitk
import torch
from cli_cases import save_lopsided_ct
from scene_cases import icosphere, shifted, write_stl
from typer.testing import CliRunner

from raygrad._errors import InputError
from raygrad.cli import app
from raygrad.cli._register_scene import parse_meshes, scene_of
from raygrad.data import read
from raygrad.formats import View, read_body_poses, read_poses
from raygrad.geometry import ConeViews, Detector, Intrinsics
from raygrad.pose import RigidTransform
from raygrad.scene import Body, Mesh, Scene

pytest.importorskip("trimesh")
pytestmark = pytest.mark.usefixtures("one_thread")

CAMERA = Intrinsics(sdd=600.0, height=120, width=100, delx=2.5, dely=2.5)
OPTIONS = ["--sdd", "600", "--delx", "2.5", "--dely", "2.5", "--no-animation", "--orientation", "AP"]
MIDDLE = torch.tensor([[[40.0, 60.0, 80.0]]], dtype=torch.float64)


def run(*arguments):
    return CliRunner().invoke(app, ["register", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A CT, a cup in the coordinates of its file, and an X-ray in which both have moved."""
    folder = tmp_path_factory.mktemp("implant")
    save_lopsided_ct(folder / "ct.nii.gz", spacing=(4.0, 5.0, 6.0))
    vertices, faces = icosphere(1.0, rounds=2)
    vertices = vertices * [9.0, 7.0, 14.0] * (1 + 0.35 * vertices[:, 2:] + 0.2 * vertices[:, :1] * vertices[:, 1:2])
    write_stl(folder / "cup.stl", vertices + MIDDLE[0, 0].numpy(), faces)
    subject = read(folder / "ct.nii.gz")
    in_file = RigidTransform(torch.from_numpy(subject.file_to_world))
    scene = Scene([Body(subject, name="ct"), Mesh(folder / "cup.stl", name="cup", pose=in_file)])
    moved = in_file.compose(shifted(3.0, -2.0, 2.5, (0.03, 0.02, -0.03)))
    view = View(shifted(0, 400, 0), CAMERA)
    patient = shifted(4, -5, 3, (0.05, -0.03, 0.04))
    poses = {"ct": patient, "cup": moved.compose(patient)}
    views = ConeViews(Detector.of(CAMERA, subject.reorient), view.pose)
    image = scene.render(views, poses=poses)[0, 0].float().numpy()
    sitk.WriteImage(sitk.GetImageFromArray(image), str(folder / "xray.tif"))
    return folder, in_file, moved, patient.inverse().matrix @ view.pose.matrix


def test_an_implant_is_found_with_the_ct_and_again_from_there(folder):
    folder, in_file, moved, pose = folder
    mesh = ["--mesh", f"cup={folder / 'cup.stl'}:titanium"]
    result = run(
        folder / "ct.nii.gz", folder / "xray.tif", "-o", folder / "a", *OPTIONS, *mesh, "--translation", "0,400,0"
    )
    assert result.exit_code == 0, result.output
    shift = (moved(MIDDLE) - in_file(MIDDLE)).norm().item()
    assert f"cup: {shift:.1f}"[:-1] in result.output
    assert "cup: converged; standard deviation" in result.output
    found = read_body_poses(folder / "a" / "pose.json")
    assert list(found) == ["ct", "cup"]
    assert (found["cup"](MIDDLE) - moved(MIDDLE)).norm() < 0.3  # in the CT's world, depth included
    torch.testing.assert_close(found["ct"].matrix, torch.eye(4, dtype=torch.float64)[None])
    (view,) = read_poses(folder / "a" / "pose.json")
    torch.testing.assert_close(view.pose.matrix.double(), pose, atol=0.5, rtol=0)
    assert (folder / "a" / "overlay.png").is_file()
    assert not (folder / "a" / "convergence.gif").exists()

    again = ["--init", folder / "a" / "pose.json", "--at", f"cup={folder / 'a' / 'pose.json'}", "--no-animation"]
    result = run(folder / "ct.nii.gz", folder / "xray.tif", "-o", folder / "b", *mesh, *again)
    assert result.exit_code == 0, result.output
    assert "cup: 0.0" in result.output
    saved = json.loads((folder / "b" / "pose.json").read_text())["registration"]["bodies"]["cup"]
    assert saved["status"] == "converged"


MISTAKES = {
    "no material": (["cup=STL"], [], "cup=cup.stl:titanium"),
    "no name": (["STL:steel"], [], "cup=cup.stl:titanium"),
    "no file": (["cup=none.stl:steel"], [], "none.stl"),
    "twice": (["cup=STL:steel", "cup=STL:steel"], [], "'cup'"),
    "the CT": (["ct=STL:steel"], [], "not 'ct'"),
    "no such material": (["cup=STL:wood"], [], "titanium"),
    "a start of another": (["cup=STL:steel"], ["stem=pose.json"], "'stem=pose.json'"),
    "a point of two numbers": (["cup=STL:steel"], ["cup=1,2"], "three numbers"),
    "no numbers": (["cup=STL:steel"], ["cup=1,2,z"], "1,2,z"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_meshes_are_refused(folder, mistake):
    texts, starts, reason = MISTAKES[mistake]
    with pytest.raises(InputError, match=reason):
        parse_meshes([text.replace("STL", str(folder[0] / "cup.stl")) for text in texts], starts)


def test_meshes_have_numbers_for_materials(folder):
    (mesh,) = parse_meshes([f"cup={folder[0] / 'cup.stl'}:0.05"], None)
    assert (mesh.name, mesh.material, mesh.start) == ("cup", 0.05, None)


def test_a_mesh_may_begin_with_its_middle_at_a_point_of_the_files_world(folder):
    folder, in_file, _, _ = folder
    (mesh,) = parse_meshes([f"cup={folder / 'cup.stl'}:steel"], ["cup=25,-40,20"])
    solid = scene_of(read(folder / "ct.nii.gz"), {}, [mesh]).bodies[1]
    middle = (solid.vertices.amin(0) + solid.vertices.amax(0))[None, None] / 2
    point = torch.tensor([[[25.0, -40.0, 20.0]]], dtype=torch.float64)
    torch.testing.assert_close(solid.pose(middle), in_file(point), atol=1e-9, rtol=0)


def test_a_mesh_that_is_not_seen_is_said_and_not_trusted_though_the_ct_is_found(folder):
    folder = folder[0]
    subject = read(folder / "ct.nii.gz")
    views = ConeViews(Detector.of(CAMERA, subject.reorient), shifted(4, 402, -3))
    image = Scene([Body(subject)]).render(views)[0, 0].float().numpy()
    sitk.WriteImage(sitk.GetImageFromArray(image), str(folder / "no_cup.tif"))
    files = [folder / "ct.nii.gz", folder / "no_cup.tif", "-o", folder / "d", *OPTIONS, "--translation", "0,400,0"]
    result = run(*files, "--mesh", f"cup={folder / 'cup.stl'}:titanium", "--at", "cup=4000,0,0")
    assert result.exit_code == 1, result.output
    assert "ct: converged" in result.output
    assert "cup: not seen" in result.output
    assert "--at cup=x,y,z" in result.output
    assert "from where it began in the CT" not in result.output


def test_what_does_not_go_with_a_mesh_is_refused(folder):
    files = [folder[0] / "ct.nii.gz", folder[0] / "xray.tif", "-o", folder[0] / "c", *OPTIONS]
    result = run(*files, "--mesh", f"cup={folder[0] / 'cup.stl'}:steel", "--method", "adam")
    assert result.exit_code == 2
    assert "--mesh goes with" in result.output
