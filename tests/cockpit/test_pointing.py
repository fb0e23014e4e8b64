"""A pixel's ray in the CT, and the pixels of a point."""

import pytest
import torch
from cockpit_cases import CAMERA, motion, small_session

from raygrad._cockpit._placement import CT
from raygrad._cockpit.commands.pointing import project, ray
from raygrad.geometry import VolumeGeometry

PARALLEL = CAMERA.replaced(parallel=True, sdd=1600.0)


@pytest.fixture(params=[(CAMERA, "AP"), (CAMERA, "PA"), (PARALLEL, "AP")], ids=["AP", "PA", "parallel"])
def session(request):
    camera, orientation = request.param
    made = small_session((camera, CAMERA), orientation)
    made.place(made.placement.with_body(CT, motion(7, 4, -3, 5, 9, -4)))
    yield made
    made.close()


def test_the_ends_of_a_ray_are_seen_at_its_pixel_and_lie_on_the_box(session):
    pixel = project(session, tuple(session.centre().tolist()))[0]
    found = ray(session, 0, tuple(pixel))
    shape = torch.tensor(session.subject.volume.spatial_shape).double()
    for world, voxel in zip(found["world"], found["voxel"], strict=True):
        assert project(session, tuple(world))[0] == pytest.approx(pixel, abs=1e-6)
        voxel = torch.tensor(voxel, dtype=torch.float64)
        assert torch.minimum((voxel + 0.5).abs(), (voxel - shape + 0.5).abs()).min() < 1e-6
        in_ct = session.subject.volume.voxel_to_world @ torch.cat([voxel, voxel.new_ones(1)])
        body = session.placement.bodies[CT](in_ct[None, None, :3])[0, 0]
        assert world == pytest.approx(body.tolist(), abs=1e-6)
    source = session.placement.camera_to_world(0, session.subject.orientation).matrix[0, :3, 3]
    near, far = (torch.linalg.norm(source - source.new_tensor(end)) for end in found["world"])
    assert near < far


def test_a_ray_that_misses_the_ct_has_no_ends(session):
    assert ray(session, 0, (-500.0, 20.0)) is None


def test_points_behind_the_source_are_not_seen(session):
    camera = session.placement.camera_to_world(1, session.subject.orientation).matrix[0]
    behind = camera[:3, 3] - 50 * camera[:3, 2]
    assert project(session, tuple(behind.tolist()))[1] is None


def test_clipping_gives_the_share_in_the_box():
    grid = VolumeGeometry((4, 6, 8), torch.diag(torch.tensor([2.0, 1.0, 1.0, 1.0])))
    source = torch.tensor([[-11.0, 0.0, 0.0], [3.0, 3.0, 3.0], [0.0, 9.0, 0.0]], dtype=torch.float64)
    target = torch.tensor([[99.0, 0.0, 0.0], [3.0, 3.0, 3.5], [5.0, 9.0, 0.0]], dtype=torch.float64)
    ends = grid.clip(source, target)
    assert ends[0].tolist() == [[-1.0, 0.0, 0.0], [7.0, 0.0, 0.0]]  # voxels fill half a voxel around their centres
    assert ends[1].tolist() == [[3.0, 3.0, 3.0], [3.0, 3.0, 3.5]]  # inside from end to end
    assert ends[2].isnan().all()
