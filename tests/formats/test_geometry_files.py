"""Geometry files: the same rays after writing and reading, RTK's conventions, and matrices of any camera."""

import inspect
import json
import math
from xml.etree import ElementTree

import numpy as np
import pytest
import roma
import SimpleITK as sitk
import torch
from other_projects import import_peer

from raygrad._errors import InputError
from raygrad.data import make_reorient
from raygrad.formats import (
    Frames,
    View,
    read_geometry,
    read_poses,
    read_stack,
    views_of_matrices,
    write_geometry,
    write_poses,
)
from raygrad.geometry import ConeViews, Detector, Intrinsics
from raygrad.geometry.trajectories import c_arm_sweep, circular, parallel
from raygrad.pose import RigidTransform, make_matrix

SYSTEM = {"sdd": 1200.0, "sid": 800.0, "height": 6, "width": 9, "delx": 4.0, "dely": 3.0, "x0": 6.0, "y0": -4.5}


def assert_same_rays(found, expected, atol=2e-3):
    for one, other in zip(found.rays(), expected.rays(), strict=True):
        torch.testing.assert_close(one.double(), other.double(), atol=atol, rtol=0)


def wobbling(n_views=5, mirrored=False):
    """Views off a circle, each with a detector of its own."""
    noise = torch.randn(n_views, 9, dtype=torch.float64)
    views = circular(n_views, isocentre=(5.0, -7.0, 11.0), **SYSTEM | {"dtype": torch.float64})
    turn = roma.rotvec_to_rotmat(0.05 * noise[:, :3])
    pose = views.pose.compose(RigidTransform(make_matrix(turn, 3 * noise[:, 3:6])))
    calibration = views.detector.calibration.matrix.double().repeat(n_views, 1, 1)
    calibration[:, 0, 3] += noise[:, 6]
    calibration[:, 1, 3] += noise[:, 7]
    calibration[:, 2, 2] += 10 * noise[:, 8]
    detector = Detector(1200.0, 6, 9, 4.0, 3.0, 0.0, 0.0, make_reorient("AP"), reverse_x_axis=not mirrored)
    return ConeViews(detector, pose, calibration)


@pytest.mark.parametrize(
    "views",
    [circular(3, **SYSTEM), c_arm_sweep([0, 20], [10, 5], **SYSTEM), wobbling()],
    ids=["circle", "C-arm", "calibrated"],
)
def test_views_are_read_as_they_were_written(tmp_path, views):
    names = [f"{number}.png" for number in range(len(views))]
    write_geometry(tmp_path / "sweep.json", views, names)
    found = read_geometry(tmp_path / "sweep.json", Frames((6, 9)))
    assert_same_rays(found, views)
    assert (found.calibration is None) == (views.calibration is None)
    assert [view.xray for view in read_poses(tmp_path / "sweep.json")] == names


def test_intrinsics_are_kept_to_the_last_digit(tmp_path):
    write_geometry(tmp_path / "sweep.json", circular(2, **SYSTEM | {"delx": 0.388}))
    assert read_geometry(tmp_path / "sweep.json").detector.delx == 0.388


def test_a_reorient_of_the_users_own_is_kept_in_the_pose(tmp_path):
    reorient = make_matrix(roma.random_rotmat(1), torch.tensor([[1.0, 2.0, 3.0]]))[0]
    views = ConeViews(Detector(1200.0, 6, 9, 4.0, 3.0, 6.0, 0.0, reorient), circular(2, **SYSTEM).pose)
    write_geometry(tmp_path / "sweep.json", views)
    assert_same_rays(read_geometry(tmp_path / "sweep.json"), views)


def test_what_registration_wrote_is_a_geometry(tmp_path):
    cameras = [Intrinsics(1000.0, 6, 9, 2.0, 2.5), Intrinsics(1010.0, 6, 9, 2.0, 2.5, 1.0)]
    views = [View(RigidTransform(circular(2, **SYSTEM).pose[i]), camera) for i, camera in enumerate(cameras)]
    write_poses(tmp_path / "pose.json", views, {"status": "converged"})
    found = read_geometry(tmp_path / "pose.json")
    for i, view in enumerate(views):
        c = view.intrinsics
        single = Detector.of(c, make_reorient("AP"))
        assert_same_rays(found[[i]], ConeViews(single, view.pose))


def test_views_that_do_not_go_together_are_refused_by_number(tmp_path):
    pose = RigidTransform(torch.eye(4))
    one, other = Intrinsics(1000.0, 6, 9, 2.0, 2.5), Intrinsics(1000.0, 6, 8, 2.0, 2.5)
    write_poses(tmp_path / "pose.json", [View(pose, one), View(pose, one), View(pose, other)])
    with pytest.raises(ValueError, match=r"width 8 in view 3 of "):
        read_geometry(tmp_path / "pose.json")
    write_geometry(tmp_path / "sweep.json", circular(2, **SYSTEM))
    with pytest.raises(ValueError, match=r"images of 10 x 5 pixels\. Got .*, of 9 x 6"):
        read_geometry(tmp_path / "sweep.json", Frames((5, 10)))
    skewed = wobbling()
    skewed.calibration[1, 0, 1] = 0.1
    with pytest.raises(ValueError, match=r"rectangles .* view 2"):
        write_geometry(tmp_path / "sweep.json", skewed)
    with pytest.raises(ValueError, match="name for each of 2"):
        write_geometry(tmp_path / "sweep.json", circular(2, **SYSTEM), ["a"])


# Parameters of two views, and RTK 2.7's own matrices for them.
RTK_VIEWS = [
    dict(zip(("gantry", "offset", "angles", "source"), values, strict=True))
    for values in ((30.0, (10.0, -5.0), (4.0, 6.0), (7.0, 8.0)), (-100.0, (1.0, 2.0), (0.0, 0.0), (0.0, 0.0)))
]
RTK_MATRIX = """-1298.88683784113 -156.201486355841 733.827689681499 13500
    90.2398678775325 -1489.05576918215 -157.285353770771 -1000
    0.498782025129912 -0.0697564737441253 0.863915809427104 -1000"""


def rtk_xml(extra="", matrix=RTK_MATRIX):
    projections = ""
    for view in RTK_VIEWS:
        names = ("GantryAngle", "ProjectionOffsetX", "ProjectionOffsetY", "OutOfPlaneAngle", "InPlaneAngle")
        values = (view["gantry"], *view["offset"], *view["angles"], *view["source"])
        fields = zip((*names, "SourceOffsetX", "SourceOffsetY"), values, strict=True)
        projections += "<Projection>" + "".join(f"<{name}>{value}</{name}>" for name, value in fields)
        projections += f"<Matrix>{matrix}</Matrix></Projection>" if view is RTK_VIEWS[0] else "</Projection>"
    return (
        '<?xml version="1.0"?><!DOCTYPE RTKGEOMETRY><RTKThreeDCircularGeometry version="3">'
        "<SourceToIsocenterDistance>1000</SourceToIsocenterDistance>"
        f"<SourceToDetectorDistance>1500</SourceToDetectorDistance>{extra}{projections}</RTKThreeDCircularGeometry>"
    )


@pytest.mark.parametrize("origin", [None, (-20.0, 3.0)])
def test_points_are_seen_where_rtk_projects_them(tmp_path, origin):
    (tmp_path / "geometry.xml").write_text(rtk_xml())
    views = read_geometry(tmp_path / "geometry.xml", Frames((6, 9), (4.0, 3.0), origin))
    assert len(views) == 2
    first_u, first_v = (-4 * 4.0, -2.5 * 3.0) if origin is None else origin
    points = torch.randn(7, 3, dtype=torch.float64) * 50
    ras = torch.nn.functional.pad(points * torch.tensor([-1, -1, 1]), (0, 1), value=1.0)
    seen = ras @ views.world_to_pixel[0].T
    seen = seen[:, :2] / seen[:, 2:]
    matrix = torch.tensor([float(word) for word in RTK_MATRIX.split()], dtype=torch.float64).reshape(3, 4)
    expected = torch.nn.functional.pad(points, (0, 1), value=1.0) @ matrix.T
    expected = expected[:, :2] / expected[:, 2:]
    expected = (expected - torch.tensor([first_u, first_v])) / torch.tensor([4.0, 3.0])
    torch.testing.assert_close(seen, expected, atol=1e-4, rtol=0)
    assert (ras @ views.world_to_pixel[0, 2] > 0).all()


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
@pytest.mark.parametrize("turn", [((-1.0, 0.0), (0.0, 1.0)), ((-1.0, 0.0), (0.0, -1.0)), ((0.0, 1.0), (1.0, 0.0))])
def test_a_stack_lies_on_rtks_detector_as_its_header_says(tmp_path, suffix, turn):
    """The same X-rays with their columns and rows told the other way round are the same measurement."""
    (tmp_path / "geometry.xml").write_text(rtk_xml())
    (width, height), (columns, rows), first = (4.0, 3.0), (9, 6), (-20.0, 3.0)
    plain = read_geometry(tmp_path / "geometry.xml", Frames((rows, columns), (width, height), first))
    images = torch.rand(2, rows, columns)
    ways = torch.tensor(turn, dtype=torch.float64)  # of the columns and the rows that are written, on the detector
    transposed = bool(ways[0, 0] == 0)
    written = images.mT if transposed else images
    written = written.flip([2 - axis for axis in range(2) if ways[axis].sum() < 0])
    steps = (height, width) if transposed else (width, height)
    far = torch.tensor([(columns - 1) * width, (rows - 1) * height], dtype=torch.float64)
    origin = torch.tensor(first, dtype=torch.float64) + far * (ways.sum(0) < 0)
    picture = sitk.GetImageFromArray(written.numpy())
    picture.SetSpacing([*steps, 1.0])
    picture.SetOrigin([*origin.tolist(), 0.0])
    picture.SetDirection([*ways[:, 0].tolist(), 0, *ways[:, 1].tolist(), 0, 0, 0, 1])
    sitk.WriteImage(picture, str(tmp_path / f"stack{suffix}"))
    stack = read_stack(tmp_path / f"stack{suffix}")
    views = read_geometry(tmp_path / "geometry.xml", stack.frames)
    ours, theirs = (one.rays()[1].unflatten(1, one.image_shape) for one in (views, plain))
    ours = ours.flip([2 - axis for axis in range(2) if ways[axis].sum() < 0])
    torch.testing.assert_close(ours.transpose(1, 2) if transposed else ours, theirs, atol=1e-4, rtol=0)
    torch.testing.assert_close(views.rays()[0], plain.rays()[0])


def test_a_stack_that_lies_across_rtks_detector_is_refused(tmp_path):
    (tmp_path / "geometry.xml").write_text(rtk_xml())
    frames = Frames((6, 9), (4.0, 3.0), (0.0, 0.0), ((0.8, 0.0), (0.0, 1.0)))
    with pytest.raises(InputError, match=r"Got images that go along \(0\.8, 0\) and \(0, 1\)"):
        read_geometry(tmp_path / "geometry.xml", frames)


RTK_DAMAGES = {
    "not XML": (lambda: "<RTK", "not XML"),
    "another file": (lambda: "<a/>", "with <a>"),
    "no views": (lambda: "<RTKThreeDCircularGeometry/>", "no projections"),
    "no distance": (
        lambda: rtk_xml().replace("<SourceToIsocenterDistance>1000</SourceToIsocenterDistance>", ""),
        "View 1 .* no SourceToIsocenterDistance",
    ),
    "parallel": (lambda: rtk_xml().replace(">1500<", ">0<"), "parallel"),
    "inside out": (lambda: rtk_xml().replace(">1500<", ">500<"), "distances"),
    "curved": (lambda: rtk_xml("<RadiusCylindricalDetector>1500</RadiusCylindricalDetector>"), "View 1 .* curved"),
    "unknown": (lambda: rtk_xml("<Wobble>1</Wobble>"), "<Wobble>"),
    "text": (lambda: rtk_xml().replace(">-100.0<", ">far<"), "View 2 .* <GantryAngle> .* 'far'"),
    "NaN": (lambda: rtk_xml().replace(">-100.0<", ">nan<"), "View 2"),
    "matrix": (lambda: rtk_xml(matrix=RTK_MATRIX.replace("13500", "13600")), "View 1 .* matrix"),
}


@pytest.mark.parametrize("damage", RTK_DAMAGES)
def test_damaged_files_of_rtk_are_refused_with_the_reason(tmp_path, damage):
    make, reason = RTK_DAMAGES[damage]
    (tmp_path / "geometry.xml").write_text(make())
    with pytest.raises(ValueError, match=reason):
        read_geometry(tmp_path / "geometry.xml", Frames((6, 9), (4.0, 3.0)))


def test_rtk_leaves_pixels_to_the_images(tmp_path):
    (tmp_path / "geometry.xml").write_text(rtk_xml())
    with pytest.raises(ValueError, match="size of a pixel"):
        read_geometry(tmp_path / "geometry.xml", Frames((6, 9)))


def rtk_matrices(path):
    """The projection matrices of a file by the formulas of RTK's documentation of its geometry."""
    matrices = []
    for projection in ElementTree.parse(path).getroot().findall("Projection"):
        p = {child.tag: float(child.text) for child in projection if child.tag != "Matrix"}
        turns = []
        for name, (i, j) in {"InPlaneAngle": (0, 1), "OutOfPlaneAngle": (1, 2), "GantryAngle": (2, 0)}.items():
            angle, turn = math.radians(-p[name]), np.eye(4)
            turn[i, i] = turn[j, j] = math.cos(angle)
            turn[j, i] = math.sin(angle)
            turn[i, j] = -math.sin(angle)
            turns.append(turn)
        offset_x, offset_y = (p[f"SourceOffset{axis}"] - p[f"ProjectionOffset{axis}"] for axis in "XY")
        to_detector = np.array([[1, 0, offset_x], [0, 1, offset_y], [0, 0, 1]])
        sdd, sid = p["SourceToDetectorDistance"], p["SourceToIsocenterDistance"]
        project = np.array([[-sdd, 0, 0, 0], [0, -sdd, 0, 0], [0, 0, 1, -sid]])
        from_source = np.eye(4)
        from_source[:2, 3] = -p["SourceOffsetX"], -p["SourceOffsetY"]
        matrices.append(to_detector @ project @ from_source @ turns[0] @ turns[1] @ turns[2])
        written = [float(word) for word in projection.find("Matrix").text.split()]
        np.testing.assert_allclose(np.ravel(matrices[-1]), written, atol=1e-6)
    return matrices


@pytest.mark.parametrize(
    "views", [circular(4, **SYSTEM), wobbling(), wobbling(mirrored=True)], ids=["circle", "wobbling", "mirrored"]
)
def test_what_is_written_for_rtk_is_where_rtk_projects_points(tmp_path, views):
    write_geometry(tmp_path / "geometry.xml", views)
    points = np.random.default_rng(0).normal(size=(7, 3)) * 50
    for matrix, ours in zip(rtk_matrices(tmp_path / "geometry.xml"), views.world_to_pixel.numpy(), strict=True):
        u, v, w = matrix @ np.c_[points * [-1, -1, 1], np.ones(7)].T
        seen = ours @ np.c_[points, np.ones(7)].T
        # (0, 0) mm is the middle of the image; pixel centres are at whole numbers.
        np.testing.assert_allclose(u / w / 4 + 4, seen[0] / seen[2], atol=1e-4)
        np.testing.assert_allclose(v / w / 3 + 2.5, seen[1] / seen[2], atol=1e-4)
    assert_same_rays(read_geometry(tmp_path / "geometry.xml", Frames((6, 9), (4.0, 3.0))), views)


def test_rtk_takes_pixels_of_one_size_only(tmp_path):
    views = wobbling()
    views.calibration[2, 1, 1] *= 1.1
    with pytest.raises(ValueError, match=r"one size in all views\. Got others in view 3"):
        write_geometry(tmp_path / "geometry.xml", views)


def test_a_kind_that_is_not_written_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Expected as kind of geometry file one of .*RTK's XML.* Got 'Rtk'"):
        write_geometry(tmp_path / "geometry.xml", circular(2, **SYSTEM), kind="Rtk")
    with pytest.raises(ValueError, match=r"ends in \.xml\. Got .*geometry\.json"):
        write_geometry(tmp_path / "geometry.json", circular(2, **SYSTEM), kind="RTK's XML")


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # as errors, those of SWIG's modules end the process
def test_rtk_itself_writes_what_is_read_and_draws_what_raygrad_draws(tmp_path):
    itk, rtk = import_peer("itk"), import_peer("itk.RTK")
    from raygrad import kernels

    geometry = rtk.ThreeDCircularProjectionGeometry.New()
    for view in RTK_VIEWS:
        geometry.AddProjection(1000.0, 1500.0, view["gantry"], *view["offset"], *view["angles"], *view["source"])
    writer = rtk.ThreeDCircularProjectionGeometryXMLFileWriter.New()
    writer.SetFilename(str(tmp_path / "geometry.xml"))
    writer.SetObject(geometry)
    writer.WriteFile()

    # Two smooth blobs, on which all ways to interpolate agree.
    z, y, x = np.meshgrid(np.arange(20), np.arange(24), np.arange(28), indexing="ij")
    voxels = np.exp(-((x - 9) ** 2 + (y - 14) ** 2 + (z - 12) ** 2) / 8)
    voxels = (voxels + 2 * np.exp(-((x - 20) ** 2 + (y - 8) ** 2 + (z - 8) ** 2) / 6)).astype(np.float32)
    volume = itk.image_from_array(voxels)
    volume.SetSpacing([2.0, 2.5, 3.0])
    volume.SetOrigin([-30.0, -20.0, -25.0])
    stack = itk.image_from_array(np.zeros((2, 24, 32), dtype=np.float32))
    stack.SetSpacing([5.0, 6.0, 1.0])
    stack.SetOrigin([-75.0, -72.0, 0.0])
    project = rtk.JosephForwardProjectionImageFilter[type(volume), type(volume)].New()
    project.SetGeometry(geometry)
    project.SetInput(0, stack)
    project.SetInput(1, volume)
    project.Update()
    expected = torch.from_numpy(itk.array_from_image(project.GetOutput()).copy())

    views = read_geometry(tmp_path / "geometry.xml", Frames((24, 32), (5.0, 6.0), (-75.0, -72.0)))
    voxel_to_world = torch.diag(torch.tensor([-2.0, -2.5, 3.0, 1.0], dtype=torch.float64))
    voxel_to_world[:3, 3] = torch.tensor([30.0, 20.0, -25.0])
    source, target = views.rays()
    found = kernels.project(
        torch.from_numpy(voxels).permute(2, 1, 0), source, target, torch.linalg.inv(voxel_to_world), renderer="joseph"
    ).reshape(2, 24, 32)
    assert expected.max() > 10
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)


def matrices_of(views):
    """Projection matrices of views, pixels from the outer corner on, with factors of any sign and size."""
    to_corner = torch.tensor([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]], dtype=torch.float64)
    factors = torch.tensor([(-1.0) ** i * (i + 0.5) for i in range(len(views))], dtype=torch.float64)
    return factors[:, None, None] * (to_corner @ views.world_to_pixel)


@pytest.mark.parametrize("mirrored", [False, True])
def test_matrices_are_those_of_the_views_that_they_came_from(tmp_path, mirrored):
    views = wobbling(mirrored=mirrored)
    matrices = matrices_of(views)
    found = views_of_matrices(matrices, 6, 9, 4.0)
    torch.testing.assert_close(found.world_to_pixel, views.world_to_pixel, atol=2e-2, rtol=1e-5)
    assert_same_rays(found, views)
    # Through every kind of file.
    numbers = {"height": 6, "width": 9, "delx": 4.0}
    np.savez(tmp_path / "a.npz", matrices=matrices.numpy(), **numbers)
    np.save(tmp_path / "b.npy", matrices.numpy())
    (tmp_path / "c.json").write_text(json.dumps({"matrices": matrices.tolist()} | numbers))
    (tmp_path / "d.json").write_text(json.dumps(matrices.tolist()))
    for name, frames in (("a.npz", None), ("c.json", None), ("b.npy", "needed"), ("d.json", "needed")):
        again = read_geometry(tmp_path / name, frames and Frames((6, 9), (4.0, 3.0)))
        assert_same_rays(again, found, atol=1e-9)


def test_views_of_one_detector_share_it():
    views = circular(4, **SYSTEM)
    found = views_of_matrices(matrices_of(views), 6, 9, 4.0)
    assert found.calibration is None
    for name in ("sdd", "delx", "dely", "centre_x", "centre_y"):
        assert getattr(found.detector, name) == pytest.approx(getattr(views.detector, name), abs=1e-3)
    assert_same_rays(found, views)
    single = views_of_matrices(matrices_of(views)[1:2], 6, 9, 4.0)  # nothing but the origin to look at
    assert_same_rays(single, views[[1]])


def test_skew_is_kept():
    views = wobbling()
    views.calibration[:, 0, 1] = 0.2
    assert_same_rays(views_of_matrices(matrices_of(views), 6, 9, 4.0), views)


MATRIX_DAMAGES = {
    "no numbers": (lambda m: {"matrices": "none"}, "else than numbers"),
    "another key": (lambda m: {"matrices": m, "kV": 70}, "kV"),
    "ragged": (lambda m: {"matrices": [m[0], m[1][:2]]}, "several sizes"),
    "4 x 4": (lambda m: {"matrices": [[[1.0] * 4] * 4]}, r"\(1, 4, 4\)"),
    "singular": (lambda m: {"matrices": [m[0], [[1.0] * 4] * 3]}, "View 2"),
    "NaN": (lambda m: {"matrices": [m[0], m[1], [[math.nan] * 4] * 3]}, "View 3"),
    "one mirrored": (
        lambda m: {"matrices": [*m[:2], *(np.diag([-1.0, 1, 1]) @ np.array(m[2:])).tolist()]},
        "View 3 is a mirror",
    ),
    "other size": (lambda m: {"matrices": m, "height": 6, "width": 8}, "images of 9 x 6 pixels.*of 8 x 6"),
}


@pytest.mark.parametrize("damage", MATRIX_DAMAGES)
def test_damaged_matrices_are_refused_with_the_reason(tmp_path, damage):
    change, reason = MATRIX_DAMAGES[damage]
    matrices = matrices_of(circular(4, **SYSTEM)).tolist()
    (tmp_path / "matrices.json").write_text(json.dumps(change(matrices)))
    with pytest.raises(ValueError, match=reason):
        read_geometry(tmp_path / "matrices.json", Frames((6, 9), (4.0, 3.0)))


def test_files_of_another_kind_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no geometry file"):
        read_geometry(tmp_path / "none.json")
    (tmp_path / "a.md").write_text("1 2 3")
    with pytest.raises(ValueError, match=r"JSON .*projection matrices .*RTK's .*a.md', which is"):
        read_geometry(tmp_path / "a.md")
    (tmp_path / "a.npz").write_text("1 2 3")
    with pytest.raises(ValueError, match=r"one of .*projection matrices .*a\.npz', which is none"):
        read_geometry(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", height=6)
    with pytest.raises(ValueError, match=r"one of .*projection matrices .*b\.npz', which is none"):
        read_geometry(tmp_path / "b.npz")
    np.save(tmp_path / "a.npy", np.zeros((1, 3, 4)))
    with pytest.raises(ValueError, match="leaves open height and width"):
        read_geometry(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["a.json", "a.xml", "a.txt", "a.csv", "a.npz"])
def test_parallel_beams_are_not_written(tmp_path, name):
    with pytest.raises(ValueError, match=r"Expected a cone beam.*Got ParallelViews"):
        inspect.unwrap(write_geometry)(tmp_path / name, parallel(3, height=4, delx=1.0))
    assert not (tmp_path / name).exists()
