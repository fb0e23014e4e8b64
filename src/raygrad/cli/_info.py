"""`raygrad info`: what this installation can do, and why."""

import importlib.metadata
import os
import platform
import sys

import typer

OPTIONAL = ("nibabel", "SimpleITK", "pydicom", "tifffile", "matplotlib", "pooch", "torchio")


def info() -> None:
    """Say what this installation can do, and why."""
    rows = describe_installation()
    width = max(len(subject) for subject, _ in rows)
    for subject, text in rows:
        typer.echo(f"{subject:<{width}}  {text}")


def describe_installation() -> list[tuple[str, str]]:
    """Pairs of a subject and what there is to say of it."""
    import torch

    from raygrad import __version__, kernels

    rows = [
        ("raygrad", __version__),
        ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()} ({sys.executable})"),
        ("PyTorch", f"{torch.__version__}, {torch.get_num_threads()} threads"),
    ]
    for name, (usable, reason) in kernels.available_backends().items():
        rows.append((f"backend {name}", f"{'yes' if usable else 'no'}: {reason}"))
    rows += _describe_gpus()
    rows += [(name, _version(name)) for name in OPTIONAL]
    return rows + _describe_data()


def _describe_gpus() -> list[tuple[str, str]]:
    """Every GPU that PyTorch sees, and what marches rays on it."""
    import torch

    from raygrad import kernels

    triton = kernels.find_triton()[0]
    rows = []
    for kind in kernels.GPU_DEVICES:
        torch_of_kind = getattr(torch, kind)
        for number in range(torch_of_kind.device_count() if torch_of_kind.is_available() else 0):
            properties = torch_of_kind.get_device_properties(number)
            memory = f"{properties.total_memory / 1e9:.0f} GB"
            backend = "gpu" if triton else "reference"
            rows.append((f"GPU {kind}:{number}", f"{properties.name}, {memory}: backend {backend}"))
    if torch.backends.mps.is_available():
        rows.append(("GPU mps", "Apple's: backend reference; the CPU is faster"))
    return rows or [("GPU", "none that PyTorch can use")]


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _describe_data() -> list[tuple[str, str]]:
    from raygrad.phantoms import cache_folder

    folder = cache_folder()
    made = any(folder.glob("thorax-*.npz"))
    return [
        ("cache folder", f"{folder} (another: RAYGRAD_CACHE)"),
        ("CT 'example'", "in the cache" if made else "is made on first use"),
        ("CT 'chest'", _describe_chest()),
    ]


def _describe_chest() -> str:
    from raygrad.phantoms import CHEST_SHA256, cache_folder, find_chest

    if os.environ.get("RAYGRAD_CHEST_CT"):
        try:
            return str(find_chest().volume)
        except FileNotFoundError as error:
            return f"missing: {error}"
    if all((cache_folder() / "chest" / name).is_file() for name in CHEST_SHA256):
        return "in the cache"
    return "is fetched on first use (35 MB), or found in the folder RAYGRAD_CHEST_CT"
