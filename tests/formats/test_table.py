"""Views as a table: every number back, points where they were, and lines that are none refused."""

import csv
from dataclasses import replace

import pytest
import torch

from raygrad.formats import InputError, read_geometry, split_views, write_geometry
from raygrad.geometry import ConeViews, Detector, Intrinsics
from raygrad.geometry.trajectories import circular
from raygrad.pose import RigidTransform, make_reorient

CAMERA = Intrinsics(1020.0, 24, 32, 2.0, 1.5, 3.0, -4.0, False)
MIRRORED = replace(CAMERA, x0=-3.0, reverse_x_axis=True)


def make_views(orientation="AP"):
    pose = circular(5, sdd=1020.0, sid=700.0, height=24, delx=2.0).pose.matrix.double()
    return ConeViews(Detector.of(CAMERA, make_reorient(orientation)), RigidTransform(pose))


@pytest.mark.parametrize("orientation", ["AP", "PA", None])
def test_views_come_back(tmp_path, orientation):
    views, names = make_views(orientation), [f"{number}.png" for number in range(5)]
    write_geometry(tmp_path / "views.csv", views, names)
    found = read_geometry(tmp_path / "views.csv")
    torch.testing.assert_close(found.world_to_pixel, views.world_to_pixel, atol=1e-6, rtol=1e-9)
    assert split_views(found)[0].intrinsics == (MIRRORED if orientation == "PA" else CAMERA)
    assert (torch.linalg.det(found.camera_to_world) > 0).all()


def test_numbers_are_those_that_their_columns_name(tmp_path):
    views = make_views()
    write_geometry(tmp_path / "views.csv", views, ["a,b", *"cdef"])
    with (tmp_path / "views.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["view"] for line in lines] == list("12345")
    assert lines[0]["xray"] == "a,b"
    assert {"sdd_mm": "1020.0", "height": "24", "x0_mm": "3.0", "reverse_x_axis": "false"}.items() <= lines[0].items()
    source = [float(lines[2][f"camera_to_world_{row}3"]) for row in range(3)]
    assert source == pytest.approx(views.rays()[0][2, 0].tolist(), abs=1e-3)


WRONG = {
    "none": (lambda text: text.splitlines()[0] + "\n", "a line for each view"),
    "no number": (lambda text: text.replace("1020.0", "far", 1), "View 1 of .* 'far'"),
    "not rigid": (lambda text: text.replace(",false,", ",false,9", 1), "View 1 of .* Expected a rigid pose"),
    "no pixels": (lambda text: text.replace(",24,", ",0,", 1), "View 1 of"),
    "neither": (lambda text: text.replace("false", "no", 1), "View 1 of .* 'no', which is neither true nor false"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(tmp_path, name):
    change, message = WRONG[name]
    write_geometry(tmp_path / "views.csv", make_views())
    (tmp_path / "views.csv").write_text(change((tmp_path / "views.csv").read_text()))
    with pytest.raises(InputError, match=message):
        read_geometry(tmp_path / "views.csv")
