"""Where raygrad runs: forked children, signals, and locales in which names are bytes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_cases import save_lopsided_ct

pytestmark = pytest.mark.subprocess
PATHS = {"PYTHONPATH": os.pathsep.join(sys.path)}
posix = pytest.mark.skipif(os.name != "posix", reason="there are no forks, and no such signals")

FORKED = """
import os, torch, raygrad
from raygrad.data import VolumeGeometry
from raygrad.geometry.trajectories import circular

torch.set_num_threads(2)
geometry = VolumeGeometry.centred((64, 64, 64), 3.0)
projector = raygrad.Projector(geometry, circular(3, sdd=1500.0, sid=1000.0, height=64, width=64, delx=4.0), "siddon")
expected = projector(geometry.zeros() + 1)
if (child := os.fork()) == 0:
    same = torch.equal(projector(geometry.zeros() + 1), expected)
    os._exit(0 if same and torch.get_num_threads() == 1 else 1)
assert os.waitpid(child, 0)[1] == 0
assert torch.get_num_threads() == 2
"""

ENDED = """
import signal, torch, raygrad

signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background it is ignored
subject = raygrad.load_example_ct(shape=(128, 128, 80))
drr = raygrad.DRR(subject, sdd=1020.0, height=2000, delx=0.2, renderer="trilinear")
pose = raygrad.convert(
    torch.zeros(1, 3), torch.tensor([[0.0, 850.0, 0.0]]), parameterization="euler_angles", convention="ZXY"
)
drr(pose, n_points=2)  # all is loaded
print("marching", flush=True)
drr(pose, n_points=20000)
print("finished", flush=True)
"""


@posix
def test_a_child_that_was_forked_after_use_works():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED],
        env=os.environ | PATHS,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@posix
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_march(which):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, "-c", ENDED], env=os.environ | PATHS, **pipes) as child:
        assert child.stdout.readline() == "marching\n"
        time.sleep(0.3)
        child.send_signal(which)
        began = time.monotonic()
        try:
            child.wait(20)
        finally:
            child.kill()
        assert time.monotonic() - began < 3  # 0.06 s where nothing else runs
        assert child.stdout.read() == ""  # the march was not finished
        assert child.returncode in (-which, 1, 130)


@pytest.mark.parametrize("name", ["dřř.tif", "dřř.nii.gz", "dřř.png", "dřř.dcm", "dřř.mha"])
def test_the_c_locale_and_names_beyond_ascii(tmp_path, name):
    """Names come as bytes there, which ITK would end the process for."""
    folder = tmp_path / "ünï ☢"
    folder.mkdir()
    save_lopsided_ct(folder / "çt.nii", (8.0, 8.0, 8.0))
    c_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    commands = [f"drr çt.nii -o {name} --height 24 --delx 12"]
    if name == "dřř.nii.gz":
        commands.append(f"register çt.nii {name} -o föund --sdd 1020 --delx 12 --no-animation --method adam")
    for words in commands:
        done = subprocess.run(
            [sys.executable, "-m", "raygrad", *words.split()],
            env=os.environ | PATHS | c_locale,
            cwd=folder,
            capture_output=True,
            timeout=120,
        )
        assert done.returncode in (0, 1), done.stderr
    assert (folder / name).stat().st_size > 0
    assert name != "dřř.nii.gz" or (folder / "föund" / "pose.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 elsewhere")
def test_a_name_that_is_no_text_is_refused(tmp_path):
    from raygrad._errors import InputError
    from raygrad.data import read_volume

    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mha"))
    save_lopsided_ct(tmp_path / "a.nii", (8.0, 8.0, 8.0))
    path.write_bytes(
        b"ObjectType = Image\nNDims = 3\nDimSize = 1 1 1\nElementType = MET_CHAR\nElementDataFile = LOCAL\n0"
    )
    with pytest.raises(InputError, match="in UTF-8"):
        read_volume(path)
