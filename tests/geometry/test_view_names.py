"""What a radiographer calls a view, from its beam."""

import math

import pytest

from raygrad.formats._dicom_geometry.angiography import carm_directions
from raygrad.geometry import name_view, positioner_angles

BEAMS = {
    "AP": (0, -1, 0),
    "PA": (0, 1, 0),
    "left lateral": (-1, 0, 0),  # the patient's left is at the detector
    "right lateral": (1, 0, 0),
    "axial, to the head": (0.1, 0, 1),
    "axial, to the feet": (0, 0.2, -1),
    "LAO 30": (-0.5, math.sqrt(0.75), 0),
    "RAO 30": (0.5, math.sqrt(0.75), 0),
    "LPO 30": (-0.5, -math.sqrt(0.75), 0),
    "RPO 45": (1, -1, 0.02),
    "PA, CRA 25": (0, math.cos(math.radians(25)), math.sin(math.radians(25))),
    "AP, CAU 40": (0.05, -math.cos(math.radians(40)), -math.sin(math.radians(40))),
}


@pytest.mark.parametrize("name", BEAMS)
def test_a_view_has_the_name_that_its_beam_has_in_the_patient(name):
    assert name_view(BEAMS[name]) == name
    assert name_view([30.0 * part for part in BEAMS[name]]) == name


def test_a_view_that_is_nearly_square_on_is_called_so():
    for degrees in (-9.0, 0.0, 9.0):
        turn = math.radians(degrees)
        assert name_view((math.sin(turn), -math.cos(turn), 0.0)) == "AP"
        assert name_view((math.cos(turn), math.sin(turn), 0.0)) == "right lateral"
        assert name_view((0.0, math.cos(turn), math.sin(turn))) == "PA"


@pytest.mark.parametrize(("primary", "secondary"), [(0, 0), (90, 0), (-30, 20), (150, -35), (-179, 60)])
def test_angles_are_those_that_the_header_of_an_angiogram_has(primary, secondary):
    *_, beam = carm_directions(float(primary), float(secondary))
    assert positioner_angles(beam) == pytest.approx((primary, secondary), abs=1e-9)


@pytest.mark.parametrize("beam", [(0, 0, 0), (1, 2), (math.nan, 0, 1)])
def test_what_is_no_direction_is_refused(beam):
    with pytest.raises(ValueError, match="Expected a beam"):
        name_view(beam)
