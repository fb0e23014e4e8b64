"""What a checkpoint keeps is looked at before a run goes on from it: digest, shapes and types."""

import pytest
import torch
from reconstruction_cases import make_scene

from raygrad.reconstruction import reconstruct


@pytest.fixture
def run(tmp_path):
    projector, _, images = make_scene(size=10, pixels=12, n_views=4)

    def reconstructed(iterations):
        return reconstruct(
            images,
            projector.views,
            projector.volume_geometry,
            method="sirt",
            iterations=iterations,
            checkpoint=tmp_path / "state.pt",
        )

    return reconstructed


def test_every_damaged_byte_that_matters_is_noticed(run, tmp_path):
    path = tmp_path / "state.pt"
    run(2)
    expected = run(3).volume
    run_on = path.read_bytes()
    same = 0
    for place in range(0, len(run_on), max(1, len(run_on) // 300)):
        damaged = bytearray(run_on)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        try:
            found = run(4)
        except ValueError as error:
            assert "checkpoint" in str(error)  # noqa: PT017
            continue
        path.write_bytes(run_on)
        torch.testing.assert_close(found.volume, run(4).volume, rtol=0, atol=0)
        same += 1
    assert same < 150  # padding and names inside the archive, which say nothing
    assert expected.isfinite().all()


CHANGES = {
    "another value": lambda kept: kept["state"]["volume"].view(-1)[3].add_(1.0),
    "another shape": lambda kept: kept["state"].update(volume=kept["state"]["volume"][:-1]),
    "another type": lambda kept: kept["state"].update(volume=kept["state"]["volume"].double()),
    "another history": lambda kept: kept["history"].pop(),
    "no digest": lambda kept: kept.pop("digest"),
    "no volume": lambda kept: kept["state"].pop("volume"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_changed_is_refused(run, tmp_path, what):
    path = tmp_path / "state.pt"
    run(2)
    kept = torch.load(path, weights_only=True)
    CHANGES[what](kept)
    torch.save(kept, path)
    with pytest.raises(ValueError, match=r"Expected a checkpoint of a reconstruction\. .*state\.pt' is none"):
        run(3)


def test_shapes_and_types_are_looked_at_even_where_the_digest_is_right(run, tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    run(2)
    monkeypatch.setattr("raygrad.reconstruction._checkpoint._digest", lambda kept: "")
    for change in ("another shape", "another type"):
        kept = torch.load(path, weights_only=True) | {"digest": ""}
        CHANGES[change](kept)
        torch.save(kept, path)
        with pytest.raises(ValueError, match="Expected volume of shape"):
            run(3)
