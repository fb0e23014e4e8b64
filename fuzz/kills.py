"""Kill a reconstruction again and again: it goes on from its checkpoint, and ends with the same volume.

    python fuzz/kills.py --kills 50
    python fuzz/kills.py --kills 20 --processes 2      under torchrun, where one of them is killed

Every run is killed at a random moment, with SIGKILL, SIGTERM or SIGINT, while it reads, computes or writes, and begun
again with the same command. When it has ended, the volume has to be that of a run that nobody disturbed, to the last
bit, and nothing else may lie beside it. Then the next one is begun, until there were so many kills.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from raygrad.data import VolumeGeometry
from raygrad.formats import write_geometry, write_stack
from raygrad.geometry.trajectories import circular
from raygrad.projector import Projector

SHARED = ("views.nii.gz", "views.json")


def main() -> int:
    """Kill, and say whether any run ended otherwise than it should."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    draw, kills, runs, wrong = random.Random(options.seed), 0, 0, []
    with tempfile.TemporaryDirectory(prefix="raygrad-kills-") as name:
        folder = Path(name)
        _prepare(folder)
        began = time.perf_counter()
        _run(folder, "whole.nii.gz", options.processes).wait()
        takes = time.perf_counter() - began
        right = (folder / "whole.nii.gz").read_bytes()
        print(f"A run takes {takes:.1f} s.", flush=True)
        while kills < options.kills:
            runs += 1
            own = _until_it_ends(folder, draw, takes, options.processes)
            kills += own
            volume = folder / "killed.nii.gz"
            if not volume.exists() or volume.read_bytes() != right:
                wrong.append(f"run {runs}: another volume, or none")
            known = {*SHARED, "whole.nii.gz", volume.name}
            if left := sorted(one.name for one in folder.iterdir() if one.name not in known):
                wrong.append(f"run {runs}: {', '.join(left)} lie beside it")
            volume.unlink(missing_ok=True)
            print(f"run {runs}: killed {own} times; {kills} kills, {len(wrong)} wrong", flush=True)
    print("\n".join(wrong) or f"{kills} kills survived in {runs} runs.")
    return bool(wrong)


def _prepare(folder: Path) -> None:
    views = circular(48, sdd=1200.0, sid=800.0, height=96, width=96, delx=4.0)
    grid = VolumeGeometry.centred((64, 64, 64), 3.0)
    volume = torch.zeros(64, 64, 64)
    volume[16:48, 20:44, 10:54] = 0.02
    write_stack(folder / "views.nii.gz", Projector(grid, views, "joseph")(volume), (4.0, 4.0))
    write_geometry(folder / "views.json", views)


def _run(folder: Path, output: str, processes: int) -> "subprocess.Popen[bytes]":
    options = ["--method", "sirt", "--iterations", "60", "--shape", "64", "--spacing", "3", "--checkpoint-every", "0.1"]
    raygrad = ["-m", "raygrad", "reconstruct", *SHARED, "-o", output, *options]
    alone = [sys.executable, *raygrad]
    shared = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", *raygrad]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    return subprocess.Popen(alone if processes == 1 else shared, cwd=folder, **quiet)


def _until_it_ends(folder: Path, draw: random.Random, takes: float, processes: int) -> int:
    """How often it was killed until a run came to its end."""
    kills = 0
    while True:
        running = _run(folder, "killed.nii.gz", processes)
        try:
            if running.wait(draw.uniform(0.2, 1.1) * takes) == 0:
                return kills
        except subprocess.TimeoutExpired:
            how = draw.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
            os.killpg(running.pid, how)
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                print(f"{how.name} did not end it in 20 s", flush=True)
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
            kills += 1


if __name__ == "__main__":
    sys.exit(main())
