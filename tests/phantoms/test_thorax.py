"""The thorax phantom: right anatomy in the right place, realistic HU, the same every time."""

import numpy as np
import pytest

from raygrad.phantoms._thorax import SHAPE, SPACING, STRUCTURES, make_thorax

COARSE = (128, 128, 83), (2.8125, 2.8125, 4.0)


@pytest.fixture(scope="module")
def thorax():
    hu, labels, structures = make_thorax(*COARSE)
    return hu, labels, {name: number for number, name in structures.items()}


def center_of(labels: np.ndarray, number: int) -> np.ndarray:
    """The centre in mm, x to the right, y to the front, z up, origin in the volume's centre."""
    index = np.argwhere(labels == number)
    assert len(index) > 0, f"{STRUCTURES[number]} is missing"
    return (index.mean(0) - (np.array(COARSE[0]) - 1) / 2) * np.array(COARSE[1])


def volume_of(labels: np.ndarray, *numbers: int) -> float:
    """In millilitres."""
    return float(np.isin(labels, numbers).sum() * np.prod(COARSE[1]) / 1000)


def test_default_is_the_size_of_the_example_ct():
    assert SHAPE == (512, 512, 133)
    assert SPACING == (0.703125, 0.703125, 2.5)


def test_types_and_memory_order(thorax):
    hu, labels, _ = thorax
    assert hu.shape == labels.shape == COARSE[0]
    assert hu.dtype == np.int16
    assert labels.dtype == np.uint8
    assert hu.flags.f_contiguous
    assert labels.flags.f_contiguous


def test_every_structure_is_there_and_named(thorax):
    _, labels, ids = thorax
    present = set(np.unique(labels).tolist())
    assert present <= set(STRUCTURES)
    expected = [
        name for name in ids if name not in ("background", "vertebra_C6", "vertebra_L3", "airway_wall", "spinal_canal")
    ]  # the rest is cut by the field of view, or thinner than these coarse voxels
    assert [name for name in expected if ids[name] not in present] == []
    assert len({*STRUCTURES.values()}) == len(STRUCTURES)


def test_sides_and_levels(thorax):
    _, labels, ids = thorax
    at = {name: center_of(labels, ids[name]) for name in ids if (labels == ids[name]).any()}
    for paired in ("lung", "kidney", "clavicle", "scapula", "humerus", "rib"):
        name = f"{paired}_{{}}_5" if paired == "rib" else f"{paired}_{{}}"
        assert at[name.format("right")][0] > 20
        assert at[name.format("left")][0] < -20
    assert at["liver"][0] > 20
    assert at["spleen"][0] < -40
    assert at["stomach"][0] < -20
    assert at["heart"][0] < -10
    assert at["heart"][1] > 0
    assert at["sternum"][1] > 50
    assert at["vertebra_T7"][1] < -50
    assert at["superior_vena_cava"][0] > 15
    assert at["liver"][2] < at["heart"][2] < at["clavicle_left"][2]
    levels = [at[f"vertebra_{level}"][2] for level in ("C7", *(f"T{i}" for i in range(1, 13)), "L1", "L2")]
    assert np.all(np.diff(levels) < -10)
    for side in ("left", "right"):
        assert np.all(np.diff([at[f"rib_{side}_{i}"][2] for i in range(1, 12)]) < -8)


def test_ribs_fall_towards_the_front(thorax):
    _, labels, ids = thorax
    for number in range(2, 10):
        index = np.argwhere(labels == ids[f"rib_left_{number}"])
        back = index[index[:, 1] <= np.quantile(index[:, 1], 0.2), 2].mean()
        front = index[index[:, 1] >= np.quantile(index[:, 1], 0.8), 2].mean()
        assert (back - front) * COARSE[1][2] > 25


def test_right_diaphragm_is_the_higher(thorax):
    _, labels, ids = thorax
    lowest = {}
    for side, x in (("right", 62), ("left", -62)):
        i, j = (round(v / 2.8125 + 63.5) for v in (x, -25))
        lowest[side] = np.flatnonzero(labels[i, j] == ids[f"lung_{side}"]).min()
    assert lowest["right"] > lowest["left"]


def test_volumes_are_an_adults(thorax):
    _, labels, ids = thorax
    assert 1500 < volume_of(labels, ids["lung_right"], ids["lung_vessels"]) < 3500
    assert 1200 < volume_of(labels, ids["lung_left"]) < 3000
    assert 900 < volume_of(labels, ids["liver"]) < 2200
    assert 80 < volume_of(labels, ids["spleen"]) < 350
    heart = [ids[n] for n in ("heart", "left_ventricle_cavity", "right_ventricle", "right_atrium", "left_atrium")]
    assert 350 < volume_of(labels, *heart) < 900
    assert 15 < volume_of(labels, ids["vertebra_T9"]) < 60


def test_cardiothoracic_ratio(thorax):
    _, labels, ids = thorax
    heart = np.flatnonzero((labels == ids["heart"]).any((1, 2)))
    lungs = np.flatnonzero(np.isin(labels, [ids["lung_left"], ids["lung_right"]]).any((1, 2)))
    assert 0.42 < np.ptp(heart) / np.ptp(lungs) < 0.55


def test_hounsfield_units(thorax):
    hu, labels, ids = thorax

    def median(name):
        return np.median(hu[labels == ids[name]])

    assert np.mean(hu[labels == 0] > -400) < 1e-4  # no bone pokes through the skin
    assert np.median(hu[labels == 0]) == -1000
    assert -880 < median("lung_left") < -800
    assert -115 < median("fat") < -80
    assert 35 < median("muscle") < 65
    assert 45 < median("liver") < 70
    assert 30 < median("aorta") < 50
    assert 200 < median("vertebra_L1") < 450
    assert median("rib_left_6") > 350
    assert median("trachea_and_bronchi") < -800
    assert 900 < hu.max() <= 1500
    assert hu.min() >= -1024


def test_the_body_lies_inside_the_field_of_view(thorax):
    hu, labels, _ = thorax
    edges = np.concatenate([hu[[0, -1]].ravel(), hu[:, [0, -1]].ravel()])
    assert np.all(edges == -1000)
    assert np.ptp(np.flatnonzero((labels > 0).any((1, 2)))) * COARSE[1][0] > 320


def test_the_same_seed_gives_the_same_volume(thorax):
    again = make_thorax(*COARSE)
    np.testing.assert_array_equal(again[0], thorax[0])
    np.testing.assert_array_equal(again[1], thorax[1])


def test_anatomy_does_not_change_with_the_resolution(thorax):
    hu, labels, ids = thorax
    fine_hu, fine, _ = make_thorax((128, 128, 166), (2.8125, 2.8125, 2.0))
    for name in ("lung_right", "liver", "heart", "vertebra_T8", "rib_left_7"):
        mine, coarse = np.argwhere(fine == ids[name]), np.argwhere(labels == ids[name])
        assert len(mine) == pytest.approx(2 * len(coarse), rel=0.1)
        np.testing.assert_allclose((mine.mean(0) - [0, 0, 0.5]) / [1, 1, 2], coarse.mean(0), atol=0.4)
    assert fine_hu.mean(dtype=float) == pytest.approx(hu.mean(dtype=float), abs=3)


def test_a_small_field_of_view_is_a_window_onto_the_same_anatomy(thorax):
    hu, _, _ = thorax
    window, labels, _ = make_thorax((16, 16, 9), COARSE[1])
    other, _, _ = make_thorax((16, 16, 9), COARSE[1], seed=1)
    assert 0 < np.abs(window.astype(float) - other).mean() < 40
    middle = hu[56:72, 56:72, 37:46]
    assert np.unique(labels).size > 3
    assert np.abs(window.astype(float) - middle).mean() < 40


@pytest.mark.parametrize(
    ("shape", "spacing", "message"),
    [
        ((10, 10), SPACING, "shape must be three integers"),
        ((10, 10, 1), SPACING, "at least 2"),
        ((10, 10, 10), (1.0, 0.0, 1.0), "spacing must be three positive lengths"),
        ((10, 10, 10), (1.0, 1.0, float("nan")), "spacing must be three positive lengths"),
    ],
)
def test_bad_input_is_explained(shape, spacing, message):
    with pytest.raises(ValueError, match=message):
        make_thorax(shape, spacing)
