"""What is rigid, by the words, names and labels that users have for it."""

import pytest
import torch
from registration_cases import make_drr, make_subject

from raygrad.data import Subject, Volume
from raygrad.pose import convert
from raygrad.registration import default_schedule, register, search
from raygrad.registration._rigid import labels_of

NAMES = {
    1: "vertebrae_L5", 2: "vertebrae_L4", 3: "intervertebral_discs", 4: "spinal_cord", 5: "sacrum", 6: "hip_left",
    7: "hip_right", 8: "skull", 9: "hippocampus", 10: "heart", 11: "vertebrae_L3",
}  # fmt: skip
"""11 is not in the labelmap."""


def subject_with(mask, structures=NAMES):
    return Subject(Volume(torch.zeros(1, 4, 4, 4), torch.eye(4)), mask=mask, structures=structures)


@pytest.fixture
def subject():
    mask = torch.zeros(1, 4, 4, 4, dtype=torch.int16)
    mask.view(-1)[:10] = torch.arange(1, 11)
    return subject_with(mask)


@pytest.mark.parametrize(
    ("rigid", "labels"),
    [
        (None, ()),
        ("spine", (1, 2, 3, 4)),
        ("pelvis", (5, 6, 7)),
        ("skull", (8,)),
        ("sacrum", (5,)),
        (10, (10,)),
        (["spine", "sacrum", 5, 10], (1, 2, 3, 4, 5, 10)),
    ],
)
def test_parts_names_and_labels_are_found(subject, rigid, labels):
    assert labels_of(subject, rigid) == labels


@pytest.mark.parametrize(
    ("rigid", "error", "message"),
    [
        ("hip", ValueError, "hip_left, hip_right.* Got 'hip'"),
        (["spine", 11], ValueError, "Got 11"),
        ([], TypeError, r"spine, pelvis, skull, .* Got \[\]"),
        (True, TypeError, "Got True"),
    ],
)
def test_what_the_labelmap_has_not_is_refused(subject, rigid, error, message):
    with pytest.raises(error, match=message):
        labels_of(subject, rigid)


def test_a_labelmap_is_needed():
    with pytest.raises(ValueError, match=r"labelmap for rigid='spine'\. Got one without"):
        labels_of(subject_with(None, None), "spine")


def test_stages_must_let_it_move():
    drr = make_drr(make_subject())
    start = convert(
        torch.zeros(1, 3), torch.tensor([[0.0, 850.0, 0.0]]), parameterization="euler_angles", convention="ZXY"
    )
    xray = drr(start)
    together = [stage for stage in default_schedule() if not stage.apart]
    with pytest.raises(ValueError, match="a stage that is apart"):
        register(xray, drr, start, rigid=1, stages=together)
    with pytest.raises(ValueError, match="a stage that is apart"):
        search(xray, drr, rigid=1, stages=together, poses=64)
