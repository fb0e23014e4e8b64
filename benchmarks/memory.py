"""Peak memory of one operation, each in a fresh process.

    python memory.py FOLDER COMPETITOR OPERATION SIZE BATCH VIEW THREADS LIMIT_GB

The child process
1. imports the competitor's libraries and runs the operation on a volume of 16 x 16 x 16 voxels and an image of 8 x 8,
   so that code, thread stacks and library buffers are there;
2. reads the CT (in the memory order the competitor's own reader gives) and takes its resident size: the baseline;
3. loads, aims and runs the operation once;
4. reports the highest resident size since the baseline, minus the baseline, minus the image.
So everything a competitor makes counts: copies of the volume, prepared objects, rays, work arrays, gradients.

The highest resident size is VmHWM of /proc/self/status, reset at the baseline through /proc/self/clear_refs; where
there is no /proc (macOS), `ru_maxrss`, which cannot be reset but has only seen the volume read by then.
"""

import ctypes
import gc
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scene import CT, Scene

MB = 1e6


def limit_memory(gigabytes: float) -> None:
    """Let this process take that much memory more; beyond it allocations fail, rather than the machine."""
    try:
        soft = int(gigabytes * 1e9) + _status("VmSize")
        resource.setrlimit(resource.RLIMIT_AS, (soft, resource.getrlimit(resource.RLIMIT_AS)[1]))
    except (OSError, ValueError):
        print("memory: this system sets no limit", file=sys.stderr)


def measure_memory(
    ct: CT, competitor: Any, operation: str, scene: Scene, threads: int, limit_gb: float, limit_s: float
) -> float:
    """Peak memory in MB (10^6 bytes) beyond the volume as read and the image.

    Raises RuntimeError with the child's last words when it fails, as when it needs more than `limit_gb`, or when it is
    not done in `limit_s`.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        ct.in_order(competitor.memory_order).save(Path(folder))
        numbers = [str(n) for n in (scene.size, scene.batch, scene.view, threads, limit_gb)]
        arguments = [sys.executable, __file__, folder, competitor.name, operation, *numbers]
        try:
            done = subprocess.run(arguments, capture_output=True, text=True, timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"not done in {limit_s:g} s") from None
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise RuntimeError(last[0][:160])
    return json.loads(done.stdout.splitlines()[-1])["peak_mb"]


def _child(folder: str, name: str, operation: str, size: str, batch: str, view: str, threads: str, limit: str) -> None:
    import torch
    from peers import competitors

    torch.set_num_threads(int(threads))
    competitor = next(c for c in competitors() if c.name == name)
    small = np.asarray(np.random.default_rng(0).random((16, 16, 16), dtype=np.float32), order=competitor.memory_order)
    affine = np.diag([20.0, 20.0, 20.0, 1.0])
    affine[:3, 3] = -150
    competitor.load(CT(small, affine))
    competitor.aim(Scene(view, 8, int(batch)))
    getattr(competitor, operation)()
    limit_memory(float(limit))

    ct = CT.load(Path(folder))
    scene = Scene(view, int(size), int(batch))
    gc.collect()
    baseline = reset_peak()
    competitor.load(ct)
    competitor.aim(scene)
    result = getattr(competitor, operation)()
    image_bytes = scene.batch * scene.size**2 * 4
    del result
    print(json.dumps({"peak_mb": (peak() - baseline - image_bytes) / MB}))


def reset_peak() -> int:
    """Start the high-water mark anew where the system lets us; return the resident size in bytes."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except (OSError, AttributeError):
        return peak()


def peak() -> int:
    """The highest resident size in bytes."""
    try:
        return _status("VmHWM")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")


if __name__ == "__main__":
    _child(*sys.argv[1:])
