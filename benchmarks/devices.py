"""Where a benchmark runs: the device that was asked for, and what the results call it."""

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("raygrad", "torch", "triton", "nanodrr", "diffdrr", "flashdrr", "diffct", "numba-cuda")


def require_device(name: str) -> torch.device:
    """The device of that name ("cpu", "cuda", "cuda:1", "xpu"); ends the program with status 1 where it is missing."""
    try:
        device = torch.device(name)
    except RuntimeError:
        sys.exit(f"--device {name}: PyTorch knows no such device")
    if device.type != "cpu":
        api = api_of(device)
        if api is None or not api.is_available():
            sys.exit(f"--device {name}: PyTorch {torch.__version__} finds no such device here")
        index = device.index or 0
        if index >= api.device_count():
            sys.exit(f"--device {name}: there are {api.device_count()} here, counted from 0")
        api.set_device(index)
        device = torch.device(device.type, index)
    return device


def api_of(device: torch.device) -> Any:
    """The module of PyTorch with this kind of device's events, streams and memory: `torch.cuda`, `torch.xpu`."""
    return getattr(torch, device.type, None)


def name_of(device: torch.device) -> str:
    """What the card or the processor is called."""
    return _processor() if device.type == "cpu" else api_of(device).get_device_name(device)


def slug_of(device: torch.device) -> str:
    """The name in the form that file names take: "nvidia-h200"."""
    return re.sub(r"[^a-z0-9]+", "-", name_of(device).lower()).strip("-")


def software_of(device: torch.device) -> str:
    """Driver and versions of everything that takes part, in one line."""
    found = {package: _version(package) for package in PACKAGES}
    driver = _driver(device)
    runtime = torch.version.cuda or getattr(torch.version, "hip", None)
    parts = [f"driver {driver}"] if driver else []
    if device.type != "cpu" and runtime:
        parts.append(f"{'CUDA' if torch.version.cuda else 'ROCm'} {runtime}")
    parts += [f"{package} {number}" for package, number in found.items() if number]
    return ", ".join([*parts, f"Python {platform.python_version()}"])


def _driver(device: torch.device) -> str | None:
    if device.type != "cuda":
        return None
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.split("\n")[0].strip() or None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def _version(package: str) -> str | None:
    """The installed version; of raygrad in a source tree, the one that it says itself; None without the package."""
    try:
        return version(package)
    except PackageNotFoundError:
        if package != "raygrad":
            return None
        import raygrad

        return f"{raygrad.__version__} (source tree)"
