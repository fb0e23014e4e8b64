"""Pictures and collimators within `render`: where they act, and what the presets make."""

import numpy as np
import pytest
import torch

from raygrad.data import Volume, read
from raygrad.drr import DRR
from raygrad.physics import PRESENTATIONS, Collimator, Inverted, Physics, Presentation, Scatter, render
from raygrad.pose import convert

PIXEL = (3.0, 3.0)


@pytest.fixture(scope="module")
def seen():
    hu = torch.full((20, 20, 20), -1000.0)
    hu[3:17, 3:17, 2:18] = 40.0
    hu[8:12, 8:12, 2:18] = 900.0
    drr = DRR(read(Volume(hu, np.diag([6.0, 6.0, 6.0, 1.0]))), 1000.0, 64, 3.0, renderer="joseph")
    angles, xyz = torch.zeros(1, 3), torch.tensor([[0.0, 800.0, 0.0]])
    pose = convert(angles, xyz, parameterization="euler_angles", convention="ZXY")

    def rendered(physics, quantity="line integrals", noise=None):
        return render(drr, pose, physics, quantity=quantity, noise=noise)

    return rendered


@pytest.mark.parametrize(("name", "bone_is_bright"), [("radiography", True), ("fluoroscopy", False), ("cbct", True)])
def test_a_preset_shows_what_its_presentation_makes_of_the_signal(seen, name, bone_is_bright):
    physics = Physics.preset(name)
    picture = seen(physics, "picture", 3)
    assert 0 <= picture.min() < 0.1 < 0.9 < picture.max() <= 1
    share = torch.exp(-seen(physics, "line integrals", 3))
    torch.testing.assert_close(picture, PRESENTATIONS[name](share, pixel_mm=PIXEL), rtol=0, atol=2e-5)
    assert (picture[0, 0, 32, 32] > picture[0, 0, 32, 22]) == bone_is_bright


def test_a_response_goes_before_a_presentation(seen):
    physics = Physics.preset("radiography", response=Inverted())
    share = torch.exp(-seen(physics))
    torch.testing.assert_close(seen(physics, "picture"), Inverted()(share))
    with pytest.raises(ValueError, match="a response or a presentation"):
        seen(Physics.preset("radiography", presentation=None), "picture")


def test_a_collimator_cuts_the_beam(seen):
    collimator = Collimator(90.0, 120.0, leak=0.01)
    plain = Physics.preset("radiography", scatter=None, grid=None, blur=None, glare=None)
    field = collimator.field((64, 64), pixel_mm=PIXEL, like=torch.zeros(()))
    expected = seen(plain, "counts") * (0.01 + 0.99 * field)
    torch.testing.assert_close(seen(plain.replaced(collimator=collimator), "counts"), expected)
    # Open fields are calibrated without it, and what is closed scatters nothing into the middle.
    lines = seen(plain.replaced(collimator=collimator))
    assert lines[0, 0, 0, 0] == pytest.approx(-np.log(0.01), rel=1e-3)
    scattering = plain.replaced(scatter=Scatter(1.0, reference=4.0))
    wide, narrow = (seen(p, "counts") for p in (scattering, scattering.replaced(collimator=Collimator(30.0, 30.0))))
    assert narrow[0, 0, 32, 32] < 0.97 * wide[0, 0, 32, 32]


def test_what_the_collimator_hides_is_black_and_no_part_of_the_window(seen):
    collimated = Physics.preset("radiography", collimator=Collimator(60.0, shape="round"))
    picture = seen(collimated, "picture")
    assert picture[0, 0, 0, 0] == 0
    inside = picture[0, 0, 24:40, 24:40]
    assert inside.max() - inside.min() > 0.4


def test_gradients_flow_from_pictures_to_the_beam_and_the_presentation(seen):
    kvp, size = torch.tensor(80.0, requires_grad=True), torch.tensor(100.0, requires_grad=True)
    physics = Physics.preset("radiography", kvp=kvp, collimator=Collimator(size), presentation=Presentation())
    seen(physics, "picture").mean().backward()
    assert kvp.grad.abs() > 0
    assert size.grad.abs() > 0


def test_a_sensor_that_counts_has_no_electronic_noise():
    assert float(Physics.preset("cbct", detector="cdte-counting").noise.electronic) == 0
    assert float(Physics.preset("cbct").noise.electronic) > 0
