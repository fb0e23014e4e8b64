"""Surfaces lie where the values cross the level, are closed and turned outwards, and are coarse enough."""

import numpy as np
import pytest
from cockpit_rigs import session_of

from raygrad._cockpit._commands import call
from raygrad._cockpit._surfaces import surface
from raygrad._errors import InputError
from raygrad.data import Subject, Volume

pytest.importorskip("skimage")


def ball(shape=(40, 40, 30), spacing=(2.0, 2.0, 3.0), radius=30.0, hollow=0.0, flips=(1, 1, 1)):
    """A ball in HU, 0 within and -1000 outside, about the world's origin, its edge blurred over some mm."""
    affine = np.diag([*(np.array(spacing) * flips), 1.0])
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) @ affine[:3, :3].T + affine[:3, 3]
    distance = np.linalg.norm(points, axis=-1)
    values = np.clip((radius - distance) / 4.0 + 0.5, 0, 1) * np.clip((distance - hollow) / 4.0 + 0.5, 0, 1)
    return Volume((1000 * values - 1000).astype(np.float32), affine)


def enclosed(vertices, faces):
    a, b, c = (vertices[faces[:, corner]].astype(np.float64) for corner in range(3))
    return np.einsum("ni,ni->", a, np.cross(b, c)) / 6


def is_closed(faces):
    """Each edge is there once in either direction."""
    edges = [tuple(edge) for pair in ((0, 1), (1, 2), (2, 0)) for edge in faces[:, pair].tolist()]
    return len(set(edges)) == len(edges) and all((b, a) in set(edges) for a, b in edges[:500])


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, 1), (-1, 1, 1)])
def test_a_ball_has_its_radius_and_is_turned_outwards(flips):
    vertices, faces = surface(ball(flips=flips), -500.0)
    radii = np.linalg.norm(vertices, axis=1)
    assert abs(radii.mean() - 30) < 0.2
    assert np.abs(radii - 30).max() < 1.0
    assert abs(enclosed(vertices, faces) / (4 / 3 * np.pi * 30**3) - 1) < 0.02
    assert is_closed(faces)
    assert vertices.dtype == np.float32
    assert faces.dtype == np.uint32


def test_joining_voxels_moves_nothing():
    """A quarter of the triangles: the same ball, about the same point."""
    volume = ball((80, 80, 80), (1.0, 1.0, 1.0))
    fine, coarse = surface(volume, -500.0, most=100_000), surface(volume, -500.0, most=2000)
    assert len(coarse[1]) <= 2000 < len(fine[1])
    for vertices, _ in (fine, coarse):
        assert np.abs(vertices.mean(0)).max() < 0.3
        assert abs(np.linalg.norm(vertices, axis=1).mean() - 30) < 0.7


def test_what_is_cut_off_at_the_edge_is_closed():
    vertices, faces = surface(ball(radius=50.0), -500.0)
    assert is_closed(faces)
    assert np.abs(vertices).max(0) == pytest.approx((40, 40, 45), abs=2)


def test_cavities_are_filled_for_the_skin_alone():
    hollow = ball(hollow=15.0)
    volumes = [enclosed(*surface(hollow, -500.0, filled=filled)) for filled in (False, True)]
    solid = 4 / 3 * np.pi * 30**3
    assert volumes[1] == pytest.approx(solid, rel=0.02)
    assert volumes[0] == pytest.approx(solid - 4 / 3 * np.pi * 15**3, rel=0.02)


def test_nothing_above_the_level_has_no_surface():
    vertices, faces = surface(ball(), 500.0)
    assert len(vertices) == len(faces) == 0


def test_a_page_asks_and_gets_one_frame_with_both():
    session = session_of(Subject(ball()))
    call(session, "show_surface", {"name": "skin"})
    session.surfaces.wait(10.0)
    told = []
    session.listen(told.append)()
    (frame,) = (one for one in told if not isinstance(one, dict) and one.key == "surface skin")
    n = frame.header["vertices"]
    vertices = frame.array[: 3 * n].view(np.float32).reshape(n, 3)
    expected = surface(session.subject.volume, -300.0, filled=True)
    assert np.array_equal(vertices, expected[0])
    assert np.array_equal(frame.array[3 * n :].reshape(-1, 3), expected[1])
    assert session.state()["surfaces"]["skin"] == {"level": -300.0, "making": False}
    assert "surface bone" not in {one.key for one in told if not isinstance(one, dict)}
    call(session, "show_surface", {"name": "skin", "level": -700.0})
    session.surfaces.wait(10.0)
    told.clear()
    session.listen(told.append)()
    (frame,) = (one for one in told if not isinstance(one, dict) and one.key == "surface skin")
    assert frame.header["level"] == -700.0
    session.close()


def test_what_is_no_surface_is_refused():
    session = session_of(Subject(ball()))
    with pytest.raises(InputError, match="among skin, bone"):
        call(session, "show_surface", {"name": "liver"})
    with pytest.raises(InputError, match="Expected a level"):
        call(session, "show_surface", {"name": "bone", "level": 1e9})
    session.close()
