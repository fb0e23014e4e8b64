"""What a registration is given: every bad input is found before it iterates, and nothing good is complained about."""

import math

import numpy as np
import pytest
import torch

from raygrad.data import Subject, Volume, load_example_ct
from raygrad.drr import DRR
from raygrad.pose import RigidTransform, convert
from raygrad.registration._inputs import prepare_xrays, to_line_integrals
from raygrad.registration._inspection import RegistrationWarning

SIDE = 64
BLANK = torch.zeros(SIDE, SIDE)


def make_pose(rot_deg=(0.0, 0.0, 0.0), xyz=(0.0, 850.0, 0.0), dtype=torch.float32):
    rot = torch.deg2rad(torch.tensor(rot_deg, dtype=dtype).reshape(-1, 3))
    return convert(
        rot, torch.tensor(xyz, dtype=dtype).reshape(-1, 3), parameterization="euler_angles", convention="ZXY"
    )


@pytest.fixture(scope="module")
def subject():
    return load_example_ct(shape=(64, 64, 33))


@pytest.fixture(scope="module")
def drr(subject):
    return DRR(subject, sdd=1020.0, height=SIDE, delx=400 / SIDE, renderer="joseph")


@pytest.fixture(scope="module")
def xray(drr):
    return drr(make_pose())


def test_every_form_of_an_image_is_brought_to_one(drr, xray):
    images = [xray, xray[0], xray[0, 0], xray.double(), xray.numpy(), xray[0, 0].numpy().astype(">f8"), xray[0].half()]
    for image in images:
        (prepared,) = prepare_xrays(image, drr, make_pose())
        assert prepared.image.shape == (1, 1, SIDE, SIDE)
        assert prepared.image.dtype == prepared.weights.dtype == drr.dtype
        torch.testing.assert_close(prepared.image, xray, rtol=1e-3, atol=1e-3)
        assert (prepared.weights == 1).all()


def test_an_image_of_whole_numbers_and_one_that_cannot_be_written_to_are_taken(drr, xray):
    counts = (1000 * xray[0, 0]).round().numpy().astype(np.uint16)
    counts.flags.writeable = False
    (prepared,) = prepare_xrays(counts, drr, make_pose())
    torch.testing.assert_close(prepared.image[0, 0], torch.from_numpy(counts.astype(np.float32)))


def test_masks_are_booleans_or_weights(drr, xray):
    mask = torch.rand(SIDE, SIDE) > 0.3
    for given in (mask, mask.numpy(), mask[None], mask[None, None].double(), 0.5 * mask.float()):
        (prepared,) = prepare_xrays(xray, drr, make_pose(), given)
        assert torch.equal(prepared.weights, mask.float())  # the largest weight is 1


def test_starts_are_kept_in_double_precision(drr, xray):
    pose = make_pose([(1.0, 2.0, 3.0), (4.0, -5.0, 6.0)])
    (prepared,) = prepare_xrays(xray, drr, pose)
    rotation = prepared.init.rotation
    assert rotation.dtype == torch.float64
    torch.testing.assert_close(prepared.init.matrix.float(), pose.matrix, atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).double().expand(2, 3, 3), atol=1e-14, rtol=0)


def test_views_get_the_same_number_of_starts(drr, xray):
    starts = make_pose([(1.0, 2.0, 3.0), (4.0, -5.0, 6.0)])
    prepared = prepare_xrays([xray, xray], [drr, drr], [make_pose(), starts], [None, torch.ones(SIDE, SIDE)])
    assert [len(one.init) for one in prepared] == [2, 2]
    assert torch.equal(prepared[0].init.matrix[0], prepared[0].init.matrix[1])
    with pytest.raises(ValueError, match=r"Expected 3 starts or one as initial poses of view 1\. Got 2"):
        prepare_xrays([xray, xray], [drr, drr], [make_pose(torch.zeros(3, 3).tolist()), starts])


@pytest.mark.parametrize("reshape", [True, False])
def test_a_view_renders_its_pose(subject, drr, reshape):
    camera = DRR(subject, sdd=1020.0, height=SIDE, delx=400 / SIDE, renderer="joseph", reshape=reshape)
    starts = make_pose([(1.0, 2.0, 3.0), (4.0, -5.0, 6.0)])
    (prepared,) = prepare_xrays(drr(starts)[:1], camera, starts)
    torch.testing.assert_close(prepared.render(prepared.init), drr(starts), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (BLANK[:50], r"shape \(64, 64\), the detector's rows and columns.*Got \(50, 64\)\. Resize"),
        (torch.zeros(64, 32), r"Got \(64, 32\)"),
        (torch.zeros(2, 1, SIDE, SIDE), r"Got \(2, 1, 64, 64\)\. Give several views as a list"),
        (torch.zeros(1, 3, SIDE, SIDE), "one channel"),
        (torch.zeros(SIDE * SIDE), r"Got \(4096,\)\."),
        (BLANK, "Got the same value, 0, everywhere"),
        (BLANK + 7, "Got the same value, 7, everywhere"),
        (BLANK.log(), r"Got 4096 pixel\(s\) that are NaN or infinite"),
    ],
)
def test_images_that_no_registration_can_use_are_refused(drr, image, message):
    with pytest.raises(ValueError, match=message):
        prepare_xrays(image, drr, make_pose())


def test_a_transposed_image_is_recognised(subject):
    wide = DRR(subject, sdd=1020.0, height=32, width=48, delx=8.0)
    with pytest.raises(ValueError, match="rows and columns look exchanged"):
        prepare_xrays(torch.rand(48, 32), wide, make_pose())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_pixels_that_are_not_finite_are_refused_unless_a_mask_hides_them(drr, xray, value):
    broken = xray.clone()
    broken[0, 0, 10, 20:22] = value
    with pytest.raises(ValueError, match=r"Got 2 pixel\(s\).*hide them with a mask"):
        prepare_xrays(broken, drr, make_pose())
    mask = broken[0, 0].isfinite()
    (prepared,) = prepare_xrays(broken, drr, make_pose(), mask)
    assert prepared.image.isfinite().all()
    assert torch.equal(prepared.image[0, 0][mask], xray[0, 0][mask])


def test_an_image_that_is_constant_where_the_mask_shows_it_is_refused(drr, xray):
    mask = BLANK.clone()
    mask[:, :8] = 1
    image = torch.where(mask > 0, 3.0, xray)
    with pytest.raises(ValueError, match="the same value, 3, everywhere where the mask shows it"):
        prepare_xrays(image, drr, make_pose(), mask)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (BLANK, r"at least 1% of the image\. Got 0\.00%.*1 - mask"),
        (BLANK + torch.eye(SIDE) / 4, "at least 1% of the image"),
        (BLANK - 0.5, "weights from 0"),
        (BLANK + 2, "weights from 0"),
        (BLANK / 0, "finite weights"),
        (torch.ones(SIDE, 10), r"Expected the mask of shape \(64, 64\)"),
    ],
)
def test_masks_that_hide_all_or_are_none_are_refused(drr, xray, mask, message):
    with pytest.raises(ValueError, match=message):
        prepare_xrays(xray, drr, make_pose(), mask)


def test_a_mask_that_leaves_little_is_warned_of(drr, xray):
    mask = BLANK.clone()
    mask[30:40, 30:42] = 1
    with pytest.warns(RegistrationWarning, match=r"leaves only 2\.9% of the image"):
        prepare_xrays(xray, drr, make_pose(), mask)


def test_numbers_of_views_must_agree(drr, xray):
    pose = make_pose()
    with pytest.raises(ValueError, match=r"Got 2 X-ray\(s\), 1 DRR\(s\), 1 initial pose\(s\)\. Several starts"):
        prepare_xrays([xray, xray], drr, pose)
    with pytest.raises(ValueError, match=r"2 mask\(s\)"):
        prepare_xrays(xray, drr, pose, [BLANK + 1, BLANK + 1])
    with pytest.raises(ValueError, match=r"0 X-ray\(s\)"):
        prepare_xrays([], [], [])


def test_poses_must_be_rigid_and_finite(drr, xray):
    matrix = make_pose().matrix[0]
    mirrored, scaled, projective, lost = (matrix.clone() for _ in range(4))
    mirrored[:, 0] *= -1
    scaled[:3, :3] *= 1.01
    projective[3, 0] = 0.1
    lost[0, 3] = math.nan
    for wrong in (mirrored, scaled, projective):
        with pytest.raises(ValueError, match="Expected rigid initial poses"):
            prepare_xrays(xray, drr, RigidTransform(wrong))
    with pytest.raises(ValueError, match="NaN or infinity"):
        prepare_xrays(xray, drr, RigidTransform(lost))
    with pytest.raises(ValueError, match="at least one initial pose"):
        prepare_xrays(xray, drr, RigidTransform(matrix[None][:0]))
    with pytest.raises(TypeError, match="RigidTransform"):
        prepare_xrays(xray, drr, matrix)


def test_kinds_of_arguments_are_checked(drr, xray):
    with pytest.raises(TypeError, match=r"DRR"):
        prepare_xrays(xray, drr.detector, make_pose())
    for image in ("image.png", xray.to(torch.complex64), np.array(["a"])):
        with pytest.raises(TypeError, match=r"X-ray|xray"):
            prepare_xrays(image, drr, make_pose())


def test_drrs_that_do_not_render_whole_line_integrals_are_refused(subject, xray):
    for options, message in (({"p_subsample": 0.5}, "without"), ({"reducefn": "max"}, "reducefn='sum'")):
        camera = DRR(subject, sdd=1020.0, height=SIDE, delx=400 / SIDE, **options)
        with pytest.raises(ValueError, match=message):
            prepare_xrays(xray, camera, make_pose())


@pytest.mark.parametrize(
    ("pose", "advice"),
    [
        (make_pose(xyz=(900.0, 850.0, 0.0)), r"900 mm beside the beam's axis.*\(0, 850, 0\)"),
        (make_pose(xyz=(0.0, -850.0, 0.0)), "looks away"),
        (make_pose(rot_deg=(0.0, 90.0, 0.0), xyz=(0.0, 0.0, 850.0)), r"looks|beside"),
    ],
)
def test_a_ct_outside_the_beam_is_refused_with_advice(drr, xray, pose, advice):
    with pytest.raises(ValueError, match=rf"whose beam meets the CT.*{advice}"):
        prepare_xrays(xray, drr, pose)


def test_a_ct_that_was_not_centred_or_is_empty_is_named_as_such(subject, drr, xray):
    affine = subject.volume.affine.copy()
    affine[:3, 3] += 2000
    away = DRR(Subject(Volume(subject.volume.data, affine)), sdd=1020.0, height=SIDE, delx=400 / SIDE)
    with pytest.raises(ValueError, match="center_volume=True"):
        prepare_xrays(xray, away, make_pose())
    nothing = Subject(subject.volume, density=torch.zeros(subject.volume.spatial_shape))
    empty = DRR(nothing, sdd=1020.0, height=SIDE, delx=400 / SIDE)
    with pytest.raises(ValueError, match="density is 0 everywhere"):
        prepare_xrays(xray, empty, make_pose())


def test_starts_that_miss_the_ct_or_begin_inside_it_are_warned_of(drr, xray):
    with pytest.warns(RegistrationWarning, match=r"misses the CT at start\(s\) 1:"):
        prepare_xrays(xray, drr, make_pose(torch.zeros(2, 3).tolist(), [(0.0, 850.0, 0.0), (900.0, 850.0, 0.0)]))
    with pytest.warns(RegistrationWarning, match=r"source is inside the CT at start\(s\) 0 of view 1\."):
        prepare_xrays([xray, xray], [drr, drr], [make_pose(), make_pose(xyz=(0.0, 0.0, 0.0))])


def negative(image):
    return image.max() - image


def intensity(image):
    return 3e4 * torch.exp(-4 * image / image.max())


@pytest.mark.parametrize("wrong", [negative, intensity])
@pytest.mark.parametrize("angle", [0.0, 50.0, 90.0])
def test_inverted_images_and_raw_intensities_are_warned_of(drr, wrong, angle):
    image = drr(make_pose((angle, 0.0, 0.0)))
    init = make_pose((angle + 8.0, 6.0, -5.0), (15.0, 870.0, -12.0))
    with pytest.warns(RegistrationWarning, match=r"looks inverted.*to_line_integrals.*image\.max\(\) - image"):
        prepare_xrays(wrong(image), drr, init)


def test_what_a_mask_hides_makes_no_image_look_inverted(drr, xray):
    """A collimator makes the border bright."""
    mask = BLANK.clone()
    mask[7:-7, 7:-7] = 1
    collimated = torch.where(mask > 0, xray, 3000.0)
    prepare_xrays(collimated, drr, make_pose(), mask)
    with pytest.warns(RegistrationWarning, match="collimator"):
        prepare_xrays(collimated, drr, make_pose(), auto_mask=False)


@pytest.mark.parametrize("pixel", [1.5, 4.0, 6.25, 10.0])
def test_good_images_are_not_taken_for_inverted(subject, pixel):
    """Warnings are errors here. The smallest detector sees no air, so that nothing can be said."""
    camera = DRR(subject, sdd=1020.0, height=SIDE, delx=pixel, renderer="joseph")
    generator = torch.Generator().manual_seed(3)
    for angle in (0.0, 45.0, 90.0):
        for _ in range(6):
            rot, xyz = 2 * torch.rand(2, 3, generator=generator) - 1
            start = make_pose(
                (torch.tensor([angle, 0, 0]) + 25 * rot).tolist(), (torch.tensor([0, 850, 0]) + 30 * xyz).tolist()
            )
            image = camera(make_pose((angle, 0.0, 0.0)))
            prepare_xrays(image.clamp_min(0) ** 0.8 + 5, camera, start)
            if pixel == 1.5:
                prepare_xrays(negative(image), camera, start)


def test_line_integrals_undo_beer_and_lamberts_law():
    exponent = torch.linspace(0, 8, 12).reshape(1, 1, 3, 4)
    torch.testing.assert_close(to_line_integrals(5e4 * torch.exp(-exponent)), exponent, atol=1e-5, rtol=1e-5)
    flat = torch.linspace(100, 200, 4)
    torch.testing.assert_close(to_line_integrals(flat * torch.exp(-exponent), flat), exponent, atol=1e-5, rtol=1e-5)


def test_line_integrals_are_finite_for_counts_of_zero_and_above_air():
    values = to_line_integrals(np.array([0, 10, 100, 200], dtype=np.uint16), air=100)
    torch.testing.assert_close(values, torch.tensor([math.log(1e5), math.log(10), 0.0, 0.0]))
    for wrong, air in ((torch.zeros(3), None), (torch.tensor([1.0, math.nan]), None), (torch.ones(3), 0.0)):
        with pytest.raises(ValueError, match="positive"):
            to_line_integrals(wrong, air)
