"""What the processes of tests/distributed/test_group.py do; they import nothing of pytest's."""

import importlib
import os
import signal
import sys
import time
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from reconstruction_cases import make_scene

import raygrad
from raygrad.distributed import Group, join_processes, shard
from raygrad.physics import Spectrum, sensor_named
from raygrad.reconstruction import METHODS, Polychromatic

OPTIONS = {
    "sirt": {},
    "os_sart": {"n_subsets": 4},
    "cgls": {},
    "osem": {"n_subsets": 4},
    "tv": {},
    "adam": {},
    "polychromatic": {"physics": (Spectrum.tube(80), sensor_named("csi")), "n_subsets": 4, "photons": 1e5},
}
"""Methods that iterate, with options that take subsets apart."""
ITERATIONS = 5


def scene():
    """13 views: no number of processes or subsets divides them."""
    projector, truth, images = make_scene(dtype=torch.float64, n_views=13, size=12, pixels=16)
    return projector, truth, images


def reconstruct(name, projector, images, **control):
    method = Polychromatic if name == "polychromatic" else METHODS[name]
    return method(**OPTIONS[name])(projector, images, **{"iterations": ITERATIONS} | control)


def start(task, rank, count, folder):
    """The first lines of every process: what `task` raises is kept in a file, which is whole or absent."""
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {"MASTER_PORT": (folder / "port").read_text(), "LOCAL_RANK": str(rank)}
    try:
        task(rank, count, folder)
    except Exception as error:
        (folder / f"error{rank}").write_text(f"{type(error).__name__}: {error}")
        sys.exit(3)


def everything(rank, count, folder):
    """All that needs no process to die, on groups of 1, 2 and all of the processes, one after the other."""
    with join_processes(timeout=30):
        kept = {}
        for size in (1, 2, count):
            group = dist.new_group(list(range(size)))
            if rank < size:
                with Group(group) as processes:
                    kept[size] = volumes(processes) | by_the_verb(processes) | operator(processes) | errors(processes)
                    kept[size]["checkpoints"] = checkpoints(processes, folder)
        torch.save(kept, folder / f"results{rank}")


def volumes(processes):
    """What every method makes of the views that are shared, and its history."""
    projector, images = shard(*scene()[::2], processes)
    results = {name: reconstruct(name, projector, images) for name in OPTIONS}
    results |= directly(projector, images)
    return {name: (result.volume, [entry.residual for entry in result.history]) for name, result in results.items()}


def by_the_verb(processes):
    """What `reconstruct` makes of all images, of which each process holds only its own; memory is short for more."""
    whole, _, images = scene()
    projector, own = shard(whole, images, processes)
    held = torch.full_like(images, torch.nan)
    held[projector.numbers if processes.count > 1 else slice(None)] = own
    estimates = importlib.import_module("raygrad.reconstruction._estimate")
    needed, weights = estimates.estimate(whole, "tv", trial=False, processes=processes).memory, 1 + images
    before, estimates.available_memory = estimates.available_memory, lambda: needed
    try:
        options = {"method": "tv", "n_subsets": 4, "weights": weights, "iterations": 3, "processes": processes}
        return {"tv by the verb": raygrad.reconstruct(held, whole.views, whole.volume_geometry, **options).volume}
    finally:
        estimates.available_memory = before


def directly(projector, images):
    """What the methods make that do not iterate."""
    return {"fdk": METHODS["fdk"](extend=True)(projector, images)}


def operator(processes):
    """A, A.T, norms, gradients, subsets, and images on their way."""
    whole, truth, images = scene()
    projector, own = shard(whole, images, processes)
    assert projector.T.T is projector
    assert torch.equal(projector(truth), processes.own(whole(truth)))
    weights = torch.rand(images.shape, dtype=images.dtype, generator=torch.Generator().manual_seed(1))
    volume = truth.clone().requires_grad_()
    (projector(volume) * processes.own(weights)).sum().backward()
    subsets = [(chosen.numbers, positions, chosen.T(own[positions])) for chosen, positions in projector.subsets(5)]
    gathered = processes.gather(own)
    assert torch.equal(gathered, images if processes.rank == 0 else own)
    assert processes.agree(processes.rank == 0)
    assert not processes.agree(processes.rank > 0)
    alone = projector.with_views(whole.views[: len(own)])  # as many as this process holds, and yet others
    assert type(alone) is type(whole)
    assert torch.equal(alone.T(images[: len(own)]), whole[: len(own)].T(images[: len(own)]))
    assert torch.equal(projector.to("cpu")(truth), own)
    poses_moved = torch.zeros(len(own), 3, dtype=own.dtype, requires_grad=True)
    volume_moved = truth.clone().requires_grad_()
    moving = projector.with_own_views(moved(projector.views, poses_moved))
    (moving(volume_moved) * processes.own(weights)).sum().backward()
    return {
        "adjoint": projector.T(own),
        "norm": projector.norm(),
        "volume gradient": volume.grad,
        "subsets": subsets,
        "poses gradient": processes.gather(poses_moved.grad),
        "volume gradient, poses moving": volume_moved.grad,
    }


def moved(views, translation):
    """Views from sources that are moved by `translation` (view, 3), differentiable in it."""
    from raygrad.geometry._views import ConeViews
    from raygrad.pose import RigidTransform

    shift = torch.nn.functional.pad(translation[:, :, None], (3, 0, 0, 1))
    return ConeViews(views.detector, RigidTransform(views.pose.matrix + shift))


def errors(processes):
    """What each process says when the last one, or all, find a fault."""
    last = processes.rank == processes.count - 1
    projector, images = shard(*scene()[::2], processes)
    told = {}

    def provoke(name, provocation):
        try:
            with processes:
                provocation()
        except Exception as error:
            told[name] = f"{type(error).__name__}: {error}"

    def stop(iteration, volume):
        if last and iteration.number == 2:
            raise KeyError("callback")

    bad = torch.full_like(images, torch.nan) if last else images
    provoke("nan", lambda: reconstruct("sirt", projector, bad))
    provoke("shape", lambda: projector.T(images[1:] if last else images))
    provoke("callback", lambda: reconstruct("sirt", projector, images, callback=stop))
    provoke("all", lambda: reconstruct("sirt", projector, images, iterations=0))
    provoke("few", lambda: shard(scene()[0][:1], scene()[2][:1], processes))
    provoke("lengths", lambda: shard(scene()[0][1:], scene()[2], processes))
    provoke("subsets", lambda: projector.subsets(14))
    assert processes.agree(processes.rank == 0)  # they are together again
    return {"errors": told}


def checkpoints(processes, folder):
    """Volumes of runs that were stopped and went on with as many processes, and with another number of them."""
    projector, images = shard(*scene()[::2], processes)
    kept = {}
    for name in OPTIONS:
        path = folder / f"{name}-by-{processes.count}.pt"
        reconstruct(name, projector, images, checkpoint=path, callback=lambda iteration, _: iteration.number == 3)
        kept[name] = [reconstruct(name, projector, images, checkpoint=path).volume]
        if processes.rank == 0:
            (folder / f"{name}-by-one.pt").with_suffix(f".{processes.count}").write_bytes(
                (folder / f"{name}-by-one.pt").read_bytes()
            )
        processes.agree(True)
        path = folder / f"{name}-by-one.{processes.count}"
        kept[name].append(reconstruct(name, projector, images, checkpoint=path).volume)
    return kept


def lose_a_worker(rank, count, folder):
    """A run whose last process is killed in iteration 4, if there is a file that says so."""

    def die(iteration, volume):
        if rank == count - 1 and iteration.number == 4 and (folder / "die").exists():
            os.kill(os.getpid(), signal.SIGKILL)

    with join_processes(timeout=60) as processes:
        projector, images = shard(*scene()[::2], processes)
        control = {"checkpoint": folder / "run.pt", "checkpoint_every": 0, "callback": die}
        result = reconstruct("sirt", projector, images, **control)
        torch.save(result.volume, folder / f"volume{rank}")


def hang(rank, count, folder):
    """A run whose last process hangs in iteration 2."""
    with join_processes(timeout=2) as processes:
        projector, images = shard(*scene()[::2], processes)
        hanging = rank == count - 1
        reconstruct("sirt", projector, images, callback=lambda it, _: time.sleep(60) if hanging else None)


def be_told_to_end(rank, count, folder):
    """A run of one whose process is told to end, as torchrun tells the others when one is lost."""
    with join_processes(timeout=60) as processes:
        projector, images = shard(*scene()[::2], processes)
        control = {"checkpoint": folder / "run.pt", "checkpoint_every": 0}
        reconstruct(
            "sirt",
            projector,
            images,
            callback=lambda it, _: os.kill(os.getpid(), signal.SIGTERM) if it.number == 3 else None,
            **control,
        )


def wait_for_others(rank, count, folder):
    """One of two processes, of which the other never comes."""
    os.environ["WORLD_SIZE"] = "2"
    with join_processes(timeout=1):
        pass


def results(folder: Path, count: int):
    return [torch.load(folder / f"results{rank}", weights_only=False) for rank in range(count)]
