"""Files and folders are whole or absent, and suffixes are told apart."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from raygrad import data, formats, landscape, scene
from raygrad._files import folder_written_whole, suffix_of, written_whole
from raygrad.reconstruction import Resumption


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


def test_whoever_reads_the_old_file_goes_on_reading_it(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old" * 1000)
    with path.open("rb", buffering=0) as reader:
        assert reader.read(3) == b"old"
        with written_whole(path) as unfinished:
            unfinished.write_bytes(b"new")
        assert path.read_bytes() == b"new"
        assert reader.read() == b"old" * 999


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


def test_what_killed_runs_left_is_removed_by_the_next_and_nothing_else(tmp_path):
    program = (
        "import os, sys; from pathlib import Path; from raygrad._files import written_whole\n"
        "with written_whole(Path(sys.argv[1])) as unfinished: unfinished.write_bytes(b'half'); os._exit(9)"
    )
    path = tmp_path / "a.bin"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program, str(path)], env=environment, check=False).returncode == 9
    (left,) = names(tmp_path)
    with written_whole(tmp_path / "b.bin") as other:
        other.write_bytes(b"b")
    assert left in names(tmp_path)  # it might be one that has just been made
    an_hour_ago = time.time() - 3600
    os.utime(tmp_path / left, (an_hour_ago, an_hour_ago))
    with written_whole(path) as unfinished:
        assert left not in names(tmp_path)
        (own,) = [name for name in names(tmp_path) if name.startswith(".raygrad-")]
        os.utime(tmp_path / own, (an_hour_ago, an_hour_ago))
        with written_whole(tmp_path / "b.bin") as other:
            other.write_bytes(b"c")
        assert own in names(tmp_path)  # it is being written to
        unfinished.write_bytes(b"whole")
    assert names(tmp_path) == ["a.bin", "b.bin"]


def test_a_writer_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(OSError, match="wrote nothing"), written_whole(tmp_path / "a.bin"):
        pass
    assert names(tmp_path) == []


def test_the_longest_suffix_counts():
    known = [".gz", ".nii.gz", ".nii"]
    assert suffix_of(Path("a.NII.gz"), known) == ".nii.gz"
    assert suffix_of(Path("a.tar.gz"), known) == ".gz"
    assert suffix_of(Path("nii"), known) is None


READERS = {
    **{f"ct{end}": data.read_volume for end in (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".dcm", "")},
    **{f"xray{end}": formats.read_xray for end in (".png", ".tif", ".dcm", ".nii")},
    **{f"geometry{end}": formats.read_geometry for file in formats.GEOMETRIES for end in file.suffixes},
    "stack.npy": formats.read_stack,
    "pose.json": formats.read_poses,
    "transform.tfm": formats.read_transform,
    "fiducials.fcsv": formats.read_fiducials,
    "landscape.npz": landscape.Landscape.load,
    "mesh.stl": scene.Mesh,
    "state.pt": Resumption.of,
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("name", READERS)
def test_nobody_waits_for_a_pipe(tmp_path, name):
    """Opening one would last until somebody writes to it: for ever."""
    os.mkfifo(tmp_path / name)

    def too_long(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(10)
    try:
        with pytest.raises((FileNotFoundError, ValueError)):
            READERS[name](tmp_path / name)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
