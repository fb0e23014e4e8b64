"""Slices show the voxels that they say, the right way round, and the beams where they cross them."""

import threading
import time

import numpy as np
import pytest
import torch
from cockpit_rigs import session_of

from raygrad._cockpit._beams import outline
from raygrad._cockpit._commands import call
from raygrad._cockpit._frame import Frame
from raygrad._cockpit._slices import colour_of, slice_of, structures_of
from raygrad._errors import InputError
from raygrad.data import Subject, Volume
from raygrad.geometry import Intrinsics
from raygrad.pose import RigidTransform

SHAPE = (5, 7, 4)
AFFINE = np.array([[2.0, 0, 0, -4], [0, 1.5, 0, -4.5], [0, 0, 3, -4.5], [0, 0, 0, 1]])


def numbered():
    """A CT whose voxels are all different, with labels."""
    hu = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    labels = (hu % 3).astype(np.uint8)
    return Subject(Volume(hu, AFFINE), mask=labels, structures={0: "background", 1: "rib_left", 2: "liver"})


@pytest.fixture
def session():
    session = session_of(numbered())
    yield session
    session.close()


def frames_of(session):
    told = []
    session.listen(told.append)()
    return {one.key: one for one in told if not isinstance(one, dict)}


def points_of(corners):
    return {tuple(corner) for corner in (corners + 0.0).round(9).tolist()}


def test_the_right_of_the_patient_is_at_the_left_of_an_image_and_the_front_or_the_head_at_its_top(session):
    call(session, "look", {"indices": [1, 2, 3]})
    hu = session.subject.volume.voxels.numpy()
    frames = frames_of(session)
    axial, coronal, sagittal = (frames[f"slice {plane}"] for plane in ("axial", "coronal", "sagittal"))
    assert axial.array.shape == (7, 5)
    assert axial.array[0, 0] == hu[-1, -1, 3]  # +x is right, +y the front
    assert axial.array[6, 1] == hu[3, 0, 3]
    assert coronal.array.shape == (4, 5)
    assert coronal.array[0, 0] == hu[-1, 2, -1]
    assert sagittal.array.shape == (4, 7)
    assert sagittal.array[0, 1] == hu[1, -2, -1]  # the front at the left, the head at the top
    assert np.array_equal(frames["labels coronal"].array, coronal.array % 3)
    assert axial.header == {"plane": "axial", "index": 3}


def test_only_slices_that_are_new_are_sent(session):
    told = []
    stop = session.listen(told.append)
    told.clear()
    i, j, k = session.slices.indices
    session.slices.look((i, j, k + 1))
    stop()
    images = [one.key for one in told if not isinstance(one, dict)]
    assert [key for key in images if not key.startswith("drr")] == ["slice axial", "labels axial"]
    assert {"type": "looked", "indices": [i, j, k + 1]} in told


def test_a_volume_that_lies_otherwise_is_brought_the_right_way_round():
    hu = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    session = session_of(Subject(Volume(hu, lps)))
    session.slices.look((0, 0, 2))
    assert frames_of(session)["slice axial"].array[0, 0] == hu[0, 0, 2]  # the first voxel is the rightmost one
    assert "labels axial" not in frames_of(session)
    session.close()


def test_what_a_pixel_shows_is_where_the_state_says(session):
    """Column c and row r of an axial slice are voxel (X - 1 - c, Y - 1 - r): what the page computes with."""
    described = session.state()["slices"]
    x, y, _ = described["shape"]
    image = slice_of(session.subject.volume, 2, 1)
    for row, column in ((0, 0), (2, 4), (6, 1)):
        assert image[row, column] == session.subject.volume.voxels[x - 1 - column, y - 1 - row, 1]


def test_numbers_that_are_no_int16_are_rounded_and_cut_off():
    hu = torch.tensor([[[40.6, 1e6]]])
    session = session_of(Subject(Volume(hu, np.eye(4))))
    session.slices.look((0, 0, 0))
    assert frames_of(session)["slice axial"].array.tolist() == [[41]]
    session.slices.look((0, 0, 1))
    assert frames_of(session)["slice axial"].array.tolist() == [[32767]]
    session.close()


@pytest.mark.parametrize("indices", [[5, 0, 0], [0, -1, 0], [0, 0, 4]])
def test_voxels_that_are_not_there_are_refused(session, indices):
    with pytest.raises(InputError, match="Expected a voxel within 5 x 7 x 4"):
        call(session, "look", {"indices": indices})


def test_structures_have_names_and_colours_of_their_own(session):
    named = structures_of(session.subject)
    assert named == {"1": {"name": "rib left", "colour": colour_of(1)}, "2": {"name": "liver", "colour": colour_of(2)}}
    assert len({colour_of(label) for label in range(1, 100)}) == 99


def test_a_beam_halfway_to_the_detector_is_half_as_large():
    intrinsics = Intrinsics(sdd=1000.0, height=100, width=200, delx=1.0, dely=2.0, x0=10.0)
    corners = outline(intrinsics, np.eye(4), axis=2, level=500.0)
    assert {tuple(corner) for corner in corners.round(9)} == {
        (55, 50, 500),
        (-45, 50, 500),
        (-45, -50, 500),
        (55, -50, 500),
    }
    assert len(outline(intrinsics, np.eye(4), axis=2, level=1000.1)) == 0
    assert len(outline(intrinsics, np.eye(4), axis=2, level=-0.1)) == 0


def test_along_the_beam_it_is_a_triangle_and_of_parallel_rays_a_rectangle():
    cone = Intrinsics(sdd=1000.0, height=100, width=200, delx=1.0, dely=1.0)
    assert points_of(outline(cone, np.eye(4), axis=1, level=0.0)) == {(0, 0, 0), (100, 0, 1000), (-100, 0, 1000)}
    corners = outline(cone.replaced(parallel=True), np.eye(4), axis=1, level=0.0)
    assert {tuple(corner) for corner in corners.round(9)} == {
        (100, 0, 0),
        (100, 0, 1000),
        (-100, 0, 0),
        (-100, 0, 1000),
    }


def test_outlines_lie_on_the_edges_that_the_view_projects_to(session):
    """What lies on the outline is seen at the image's edge, wherever the CT was moved to."""
    call(session, "step", {"view": 0, "axis": "roll", "amount": 20.0})
    placement, slices = session.placement, session.slices
    intrinsics, shape = placement.intrinsics[0], session.subject.volume.spatial_shape
    camera_to_world = placement.camera_to_world(0, session.subject.orientation)
    seen = 0
    for u, v in slices.outlines()["coronal"][0]:  # the plane that the AP beam crosses
        voxel = torch.tensor([shape[0] - 0.5 - u, slices.indices[1], shape[2] - 0.5 - v, 1.0], dtype=torch.float64)
        point = placement.bodies["CT"]((session.subject.volume.voxel_to_world @ voxel)[None, None, :3])
        column, row = intrinsics.project(camera_to_world.inverse()(point))[0, 0].tolist()
        at_edge = [min(abs(column), abs(column - intrinsics.width)), min(abs(row), abs(row - intrinsics.height))]
        assert max(at_edge) < 1e-6
        seen += 1
    assert seen == 4


NOTHING = Frame("nothing", np.zeros(0, np.uint8))


def test_outlines_are_told_once_what_moved_rests(session):
    """While a hand moves, time is the images'."""
    told, rests = [], threading.Event()

    def take(message):
        if isinstance(message, dict) and message["type"] == "outlines":
            told.append(message["outlines"])
            rests.set()

    end = time.monotonic() + 10
    while not all(session._kept.get(f"drr {v}", NOTHING).header.get("fine") for v in range(session.n_views)):
        assert time.monotonic() < end
        time.sleep(0.01)
    before = session.state()["outlines"]
    stop = session.listen(take)
    for _ in range(5):
        call(session, "step", {"view": 0, "axis": "right", "amount": 1.0})
    assert told == []
    assert rests.wait(10)
    stop()
    assert len(told) == 1
    assert told[0] != before
    assert told[0] == session.state()["outlines"]


# --- handles of the scene


def moved_by(x, y, z):
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, 3] = torch.tensor([x, y, z])
    return matrix.tolist()


def test_handles_put_a_body_where_they_say_in_one_step(session):
    call(session, "grab", {})
    for x in (1.0, 2.0, 3.0):
        call(session, "move_body", {"body": "CT", "body_to_world": moved_by(x, 0, -4.0)})
    call(session, "drop", {"what": "Move in the scene"})
    assert session.placement.bodies["CT"].matrix[0].tolist() == moved_by(3.0, 0, -4.0)
    assert session.state()["history"]["undo"] == "Move in the scene"
    session.history.undo()
    assert session.placement.bodies["CT"].matrix[0].tolist() == moved_by(0, 0, 0)


def test_with_the_ct_go_the_other_bodies_and_they_alone_without_it(session):
    off = RigidTransform(torch.tensor([moved_by(10, 0, 0)], dtype=torch.float64))
    session.place(session.placement.with_body("cup", off))
    call(session, "move_body", {"body": "CT", "body_to_world": moved_by(0, 5, 0)})
    assert session.placement.bodies["cup"].matrix[0].tolist() == moved_by(10, 5, 0)
    call(session, "move_body", {"body": "cup", "body_to_world": moved_by(1, 2, 3)})
    assert session.placement.bodies["CT"].matrix[0].tolist() == moved_by(0, 5, 0)
    assert session.placement.bodies["cup"].matrix[0].tolist() == moved_by(1, 2, 3)


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        (np.diag([1.0, 1, 1.01, 1]), "rigid"),
        (np.diag([1.0, 1, -1, 1]), "reflection"),
        (np.ones((4, 4)), "rigid"),
    ],
)
def test_what_is_no_rigid_motion_is_refused(session, matrix, said):
    with pytest.raises(InputError, match=said):
        call(session, "move_body", {"body": "CT", "body_to_world": matrix.tolist()})
    with pytest.raises(InputError, match="Expected a body among CT"):
        call(session, "move_body", {"body": "cup", "body_to_world": moved_by(0, 0, 0)})
