"""Peak memory of one reconstruction, each in a fresh process, as `memory.py` does for projectors.

    python reconstruction_memory.py FOLDER METHOD SIZE THREADS

The child reconstructs 16^3 voxels from eight of the images, so that code, thread stacks and library buffers are there;
then it takes its resident size with the images read, runs one iteration (direct methods: all) of the whole case, and
reports the highest resident size since, minus that. The volume itself counts, and so do rays and copies of the images.
"""

import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from memory import MB, peak, reset_peak
from reconstruction_cases import Case
from reconstruction_methods import Method, methods


def measure_memory(method: Method, case: Case, images: torch.Tensor, limit_s: float) -> float:
    """Peak memory in MB (10^6 bytes) beyond the images.

    Raises RuntimeError with the child's last words when it fails, or when it is not done in `limit_s`.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        np.save(Path(folder) / "images.npy", images.numpy())
        arguments = [folder, method.name, str(case.size), str(torch.get_num_threads())]
        try:
            done = subprocess.run(
                [sys.executable, __file__, *arguments], capture_output=True, text=True, timeout=limit_s
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"not done in {limit_s:.0f} s") from None
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise RuntimeError(last[0][:160])
    return json.loads(done.stdout.splitlines()[-1])["peak_mb"]


def _child(folder: str, name: str, size: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    images = torch.from_numpy(np.load(Path(folder) / "images.npy"))
    method = next(method for method in methods() if method.name == name)
    method(Case(16, 8, noisy=False), images[:: len(images) // 8][:8], 1)
    gc.collect()
    baseline = reset_peak()
    outcome = method(Case(int(size), len(images), noisy=False), images, 1)
    print(json.dumps({"peak_mb": (peak() - baseline) / MB}))
    del outcome


if __name__ == "__main__":
    _child(*sys.argv[1:])
