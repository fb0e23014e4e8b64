"""Table, mattress and head rest cut out of a CT: seeded bodies on tables, whose every voxel is known."""

import numpy as np
import pytest
import torch
from real_files import real_data
from table_cases import BONE, CARBON, FAT, FOAM, LUNG, TISSUE, Scan

from raygrad.data import Volume, cut_out_table, load_example_ct, read, read_volume


def arms_beside(scan):
    scan.torso(a=130).limb(-180, -40, 38, 38).limb(180, -40, 38, 38).table()


def legs_apart(scan):
    scan.limb(-90, -20, 75, 70).limb(90, -20, 75, 70).table(top=-92)


def prone(scan):
    scan.torso(turned=True).table(top=-97)


def on_his_side(scan):
    scan.torso(a=62, b=95).put(scan.ellipse(0, -50, 16, 16), BONE).table(half_width=120)


def on_a_mattress(scan):
    scan.torso().mattress(-70, -120).table(top=-120)


def on_firm_foam(scan):
    """As dense as lungs, and between the flanks of a bent table."""
    scan.torso().table(top=-105, curve=80).mattress(-60, -140, half_width=150, hu=-880.0)


def on_a_bent_table(scan):
    scan.torso().table(top=-105, curve=60)


def cut_off_by_the_field(scan):
    scan.torso(a=245).put(scan.ellipse(0, 0, 235, 70) & (np.abs(scan.points[0]) > 25), LUNG).table(top=-97)


def thin_chest_wall(scan):
    scan.torso().put(scan.ellipse(0, 0, 141, 86) & (np.abs(scan.points[0]) > 25), LUNG).table()


def leads_and_an_implant(scan):
    scan.torso().put(scan.box((-30, 40), (94, 100), (-20, -14)) & ~scan.patient, 2000.0)
    scan.put(scan.box((20, 30), (-20, 20)), 3000.0).table()


def head_with_ears_in_a_rest(scan):
    scan.put(scan.ellipse(0, 0, 75, 95), FAT).put(scan.ellipse(0, 0, 70, 90), BONE)
    scan.put(scan.ellipse(0, 0, 63, 83), TISSUE)
    for side in (-1, 1):
        ear = (side * scan.points[0] < 90) & scan.box((-200, 200), (-20, 15), (-25, 25)) & (side * scan.points[0] > 60)
        scan.put(ear & ~scan.patient, FAT)
    low = scan.points[1] < 10
    rest = scan.ellipse(0, 0, 105, 115) & ~scan.ellipse(0, 0, 100, 110) & low
    scan.put(rest & ~scan.patient, CARBON, patient=False)
    scan.put(scan.ellipse(0, 0, 100, 110) & low & ~scan.patient, FOAM, patient=False)


LYING = (
    arms_beside,
    legs_apart,
    prone,
    on_his_side,
    on_a_mattress,
    on_firm_foam,
    on_a_bent_table,
    cut_off_by_the_field,
    thin_chest_wall,
    leads_and_an_implant,
    head_with_ears_in_a_rest,
)


def outcome(scan, ct, inside=True):
    """What was cut out; the share of the patient's voxels that changed; the share of the carbon that stayed."""
    cut = cut_out_table(ct)
    alone, before = cut.volume.voxels.numpy(), ct.to_canonical().voxels.numpy()
    patient, shells = scan.patient & inside, scan.things & (scan.hu > -500) & inside
    lost = (alone != before)[patient].mean()
    return cut, lost, (alone[shells] > -1000).mean() if shells.any() else 0.0


@pytest.mark.parametrize("lying", LYING)
def test_the_table_goes_and_the_patient_stays(lying):
    scan = Scan()
    lying(scan)
    cut, lost, stayed = outcome(scan, scan.volume())
    assert lost == 0
    assert stayed == 0
    shells_and_foam = scan.things.sum() * np.prod(scan.spacing) / 1e6
    assert 0.1 < cut.litres < shells_and_foam + 0.01


def test_a_hollow_table_of_two_voxels():
    scan = Scan(shape=(400, 320, 12), spacing=(1.0, 1.0, 3.0)).torso().table(top=-97, shell=2, thickness=20)
    _, lost, stayed = outcome(scan, scan.volume())
    assert lost == 0
    assert stayed == 0


def test_a_back_pressed_into_the_table():
    """Shells of the thickness of skin that lie on it all over cannot be told from it; beside it they go."""
    scan = Scan().torso().table(top=-75)
    _, lost, stayed = outcome(scan, scan.volume())
    assert lost == 0
    assert stayed < 0.07


@pytest.mark.parametrize("number", [0.0, -2000.0, -3024.0])
def test_what_lies_around_the_field(number):
    scan = Scan()
    arms_beside(scan)
    field = np.hypot(*scan.points[:2]) <= 172
    ct = scan.volume(lambda hu, _: np.where(field, hu, number))
    cut, lost, stayed = outcome(scan, ct, inside=np.hypot(*scan.points[:2]) < 168)
    assert lost == 0
    assert stayed == 0
    assert (cut.volume.voxels.numpy()[~field] > -1000).mean() < 0.01  # but for a rim on the patient


def test_nothing_goes_where_there_is_nothing():
    alone = Scan().torso()
    noisy = Scan(shape=(150, 120, 12), spacing=(1.0, 1.0, 3.0), noise=45.0).torso(a=70, b=45)
    raw = Scan().torso().table().volume(lambda hu, _: np.maximum(hu + 1000, 0))
    full = Volume(torch.full((20, 20, 20), 40.0), np.eye(4))
    empty = Volume(torch.full((20, 20, 20), -1000.0), np.eye(4))
    one = Volume(torch.full((1, 1, 1), 40.0), np.eye(4))
    for ct in (alone.volume(), noisy.volume(), raw, full, empty, one, load_example_ct(shape=(64, 64, 32)).volume):
        cut = cut_out_table(ct)
        assert cut.volume is ct
        assert cut.litres == 0
        assert not cut.mask.data.any()
        assert cut.mask.has_grid_of(ct)


def test_a_ct_cropped_within_the_lungs_loses_nothing():
    scan = Scan().torso()
    for ct in (
        scan.volume().voxels[45:85, 40:70],
        scan.volume().voxels[60:, 75:],
        scan.volume().voxels[30:150, 66:, :1],
    ):
        assert cut_out_table(Volume(ct, np.diag([*scan.spacing, 1.0]))).litres == 0


def test_axes_and_types_do_not_matter():
    """A CT of whole numbers whose axes run L, I, A loses the same."""
    scan = Scan()
    arms_beside(scan)
    ct = scan.volume()
    expected = cut_out_table(Volume(ct.voxels.round().to(torch.int16), ct.affine))
    turned = Volume(
        ct.voxels.round().to(torch.int16).permute(0, 2, 1).flip(0, 1),
        ct.affine @ np.array([[-1, 0, 0, 175], [0, 0, 1, 0], [0, -1, 0, 23], [0, 0, 0, 1.0]]),
    )
    found = cut_out_table(turned)
    assert found.volume.data.dtype == torch.int16
    torch.testing.assert_close(found.volume.voxels, expected.volume.voxels)
    torch.testing.assert_close(found.mask.voxels, expected.mask.voxels)
    np.testing.assert_allclose(found.volume.affine, expected.volume.affine)


def test_read_cuts_if_asked():
    scan = Scan().torso().table(top=-105)
    ct = scan.volume()
    kept, alone = read(ct), read(ct, remove_table=True, resample_target=5.0)
    torch.testing.assert_close(kept.volume.voxels, ct.voxels)
    assert not hasattr(kept, "cut_out")
    assert alone.cut_out.has_grid_of(alone.volume)
    assert alone.cut_out.data.any()
    table = read(
        scan.things.astype(np.float32), affine=ct.affine, resample_target=5.0, density=lambda x: x
    ).volume.voxels
    assert alone.density.voxels[table > 0.5].max() == 0 < kept.density.voxels[torch.from_numpy(scan.things)].max()


def test_the_real_chest():
    """It lies on a table with a mattress, under a blanket; the labels are organs and bones."""
    folder = real_data("chest")
    cut = cut_out_table(read_volume(folder / "cxr.nii.gz"))
    labelled = read_volume(folder / "mask.nii.gz").to_canonical().voxels > 0
    assert 0.8 < cut.litres < 1.1
    assert not cut.mask.voxels[labelled].any()


def test_the_real_chest_of_thick_slices():
    cut = cut_out_table(read_volume(real_data("ct_slicer") / "CTChest4.nrrd"))
    hu, went = cut.volume.voxels, cut.mask.voxels > 0
    assert 1.7 < cut.litres < 2.0
    assert not (hu[:, :20] > -500).any()  # where the table was
    assert not went[35:95, 45:85].any()  # in the chest
