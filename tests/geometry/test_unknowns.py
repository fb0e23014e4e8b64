"""Unknown geometry: what is known of it, its unknowns in order, and how intrinsics move what they move."""

import math

import pytest
import torch

from raygrad.geometry import INTRINSICS, ConeViews, Detector, Intrinsics, UnknownGeometry, adjusted, directions
from raygrad.pose import RigidTransform, make_reorient, se3_exp_map


def test_deviations_stand_in_the_order_of_the_unknowns():
    unknowns = UnknownGeometry(pose_deg=180 / math.pi, pose_mm=2.0, y0_mm=4.0, sdd_mm=10.0)
    assert unknowns.names == ["sdd", "y0"]
    assert [INTRINSICS[column] for column in unknowns.columns] == unknowns.names
    assert unknowns.of_twists(2).tolist() == pytest.approx([2, 2, 2, 1, 1, 1] * 2)
    assert unknowns.of_intrinsics(3).tolist() == [10, 4] * 3
    assert UnknownGeometry().is_none
    assert len(UnknownGeometry(sdd_mm=3).of_twists(4)) == 0


def test_names_stand_for_what_is_usually_known():
    assert UnknownGeometry.of("poses") == UnknownGeometry(pose_deg=1.0, pose_mm=2.0)
    both = UnknownGeometry.of(["poses", "sdd"])
    assert UnknownGeometry.of(both) is both
    assert both.sdd_mm == 10.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UnknownGeometry(sdd_mm=-1.0), "positive standard deviation as sdd_mm. Got -1"),
        (lambda: UnknownGeometry(pose_deg=1.0), "pose_deg and pose_mm together"),
        (lambda: UnknownGeometry.of("poes"), "unknowns among poses, sdd, x0, y0, pixel_size. Got \\['poes'\\]"),
        (lambda: UnknownGeometry.of([]), "Got none"),
    ],
)
def test_what_is_no_knowledge_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("column", range(4))
def test_targets_move_in_these_directions(column):
    """Against finite differences of the rays of an adjusted calibration, about intrinsics that were moved already."""
    detector = Detector.of(Intrinsics(900.0, 4, 5, 2.0, 3.0, 7.0, -4.0), make_reorient("AP"))
    poses = RigidTransform(se3_exp_map(torch.tensor([[3.0, 800.0, -5.0, 0.2, -0.1, 0.3]], dtype=torch.float64)))
    start = torch.tensor([[5.0, 1.0, -2.0, 0.1]], dtype=torch.float64)
    given = detector.calibration.matrix.double()

    def target(intrinsics):
        return ConeViews(detector, poses, adjusted(given, intrinsics)).rays()[1]

    step = torch.zeros(1, 4, dtype=torch.float64)
    step[0, column] = 1e-5
    by_differences = (target(start + step) - target(start - step)) / 2e-5
    frame = detector.camera_to_world(poses).matrix
    found = directions(frame, adjusted(given, start), target(start), [column])[:, :, 0]
    torch.testing.assert_close(found, by_differences, rtol=1e-6, atol=1e-6)


def test_a_mapping_is_refused_whose_numbers_would_be_dropped():
    with pytest.raises(TypeError, match="UnknownGeometry"):
        UnknownGeometry.of({"sdd": 5.0})
