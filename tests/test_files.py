"""Files and folders are whole or absent, and suffixes are told apart."""

from pathlib import Path

import numpy as np
import pytest

from raygrad._files import folder_written_whole, suffix_of, written_whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def interrupt(path):
    path.write_bytes(b"half")
    raise KeyboardInterrupt


def test_a_file_is_replaced_at_the_end_and_kept_if_that_fails(tmp_path):
    path = tmp_path / "a.NPZ"
    with written_whole(path) as unfinished:
        np.savez(unfinished, a=np.arange(3))  # which adds a suffix that it does not know
        assert not path.exists()
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), written_whole(path) as unfinished:
        interrupt(unfinished)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["a.NPZ"]


def test_a_folder_takes_its_name_at_the_end(tmp_path):
    path = tmp_path / "views.of.today"
    with pytest.raises(KeyboardInterrupt), folder_written_whole(path) as unfinished:
        interrupt(unfinished / "view1")
    assert names(tmp_path) == []
    path.mkdir()
    with folder_written_whole(path) as unfinished:
        (unfinished / "view1").write_bytes(b"whole")
        assert names(path) == []
    assert (path / "view1").read_bytes() == b"whole"
    with pytest.raises(OSError, match="not empty"), folder_written_whole(path) as unfinished:
        pass
    assert names(path) == ["view1"]


def test_the_longest_suffix_counts():
    known = [".gz", ".nii.gz", ".nii"]
    assert suffix_of(Path("a.NII.gz"), known) == ".nii.gz"
    assert suffix_of(Path("a.tar.gz"), known) == ".gz"
    assert suffix_of(Path("nii"), known) is None
