"""`benchmarks/independent.py` counts what it found: right, accepted and wrong."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture
def independent(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("independent")


def row(module, case, in_plane, status, given="plain", overlap=None):
    right = in_plane < module.RIGHT_MM if overlap is None else overlap > module.OVERLAP
    return module.Row(
        case, "ap", given, 0, in_plane, 1.0, 1.5, 0.2, overlap, None, status, right, 0.9, 0.1, 0.8, 0.9, 1.1, 0.5
    )


def test_totals_are_of_plain_rows_by_kind(independent):
    rows = [
        row(independent, "kvp100", 0.1, "converged"),
        row(independent, "kvp100", 0.2, "no match"),
        row(independent, "round", 60.0, "no match"),
        row(independent, "round", 0.1, "converged", given="mask"),
        row(independent, "longer", 3.0, "converged"),
        row(independent, "breath10", 5.0, "converged"),
        row(independent, "breath10", 5.0, "inconsistent"),
        row(independent, "knee_a-fem near", 0.5, "converged", overlap=0.97),
        row(independent, "knee_a-fem far", 40.0, "converged", overlap=0.1),
    ]
    assert [of.false_success for of in rows] == [False] * 4 + [True, True, False, False, True]
    lines = independent.totals(rows).splitlines()
    assert lines[0].startswith(
        "- simulated, one rigid pose: 2 of 4 right (50.0%), 1 right and accepted (25.0%), 1 false"
    )
    assert lines[1].startswith("- simulated, breathing: 0 of 2 right (0.0%), 0 right and accepted (0.0%), 1 false")
    assert lines[2].startswith("- fluoroscopy, near: 1 of 1 right (100.0%), 1 right and accepted (100.0%), 0 false")
    assert lines[3].startswith("- fluoroscopy, far: 0 of 1 right (0.0%), 0 right and accepted (0.0%), 1 false")
    table = independent.table(rows).splitlines()
    assert len({line.count("|") for line in table}) == 1
    assert table[2].startswith("| kvp100 ap | plain | 2 | 2 | 1 | 0 | 0.15 ")
    assert "1 converged, 1 no match" in table[2]


def test_images_come_as_a_naive_user_and_as_a_careful_one_have_them(independent, tmp_path):
    counts, mask = np.full((4, 4), 100.0, np.float32), np.eye(4, dtype=bool)
    counts[0, 0] = 1000.0
    np.savez(tmp_path / "round-ap.npz", docs=counts, docs_counts=True, docs_mask=mask)
    (first, image, none), (second, same, given) = independent._images(np.load(tmp_path / "round-ap.npz"))
    assert (first, second) == ("", "mask")
    assert none is None
    assert torch.equal(image, same)
    assert torch.equal(given, torch.eye(4))
    assert image.max().item() == pytest.approx(np.log(10), rel=1e-4)
