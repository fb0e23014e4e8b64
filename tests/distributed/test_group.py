"""Views shared among processes: the same volumes from any number of them, and a clear end where one is lost.

The processes are forked from one that has imported torch, and each launch tests much.
"""

import multiprocessing
import os
import signal
import socket

import pytest
import sharding_workers as workers
import torch
import torch.distributed as dist

import raygrad
from raygrad._processes import Processes
from raygrad.distributed import Group, join_processes, shard

COUNT = 4
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"

pytestmark = [
    pytest.mark.skipif(
        not (dist.is_available() and dist.is_gloo_available()), reason="this torch has no gloo to join processes by"
    ),
    pytest.mark.subprocess,
]


@pytest.fixture(scope="module")
def launch():
    """A function that runs a task in so many processes, waits for the first ones and returns all exit codes."""
    context = multiprocessing.get_context(METHOD)
    if METHOD == "forkserver":
        context.set_forkserver_preload(["torch.distributed", "raygrad.reconstruction", "raygrad.distributed._group"])

    def run(task, count, folder, waited_for=None):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            (folder / "port").write_text(str(free.getsockname()[1]))
        processes = [
            context.Process(target=workers.start, args=(task, rank, count, folder), daemon=True)
            for rank in range(count)
        ]
        for process in processes:
            process.start()
        for process in processes[:waited_for]:
            process.join(60)
        codes = [process.exitcode for process in processes]
        for process in processes:
            process.kill()
        return codes

    with pytest.MonkeyPatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            patch.setenv(name, "1")
        yield run


@pytest.fixture(scope="module")
def alone():
    """Volumes and histories of one process that knows nothing of others."""
    projector, _, images = workers.scene()
    return {name: workers.reconstruct(name, projector, images) for name in workers.OPTIONS}


@pytest.fixture(scope="module")
def results(launch, alone, tmp_path_factory):
    """By process: number of processes -> what came of it."""
    folder = tmp_path_factory.mktemp("shared")
    projector, _, images = workers.scene()
    for name in alone:
        stop = {"checkpoint": folder / f"{name}-by-one.pt", "callback": lambda iteration, _: iteration.number == 3}
        workers.reconstruct(name, projector, images, **stop)
    codes = launch(workers.everything, COUNT, folder)
    assert codes == [0] * COUNT, [path.read_text() for path in folder.glob("error*")]
    return workers.results(folder, COUNT)


@pytest.mark.parametrize("size", [1, 2, COUNT])
def test_volumes_are_those_of_one_process(results, alone, size):
    projector, _, images = workers.scene()
    for name, result in (alone | workers.directly(projector, images)).items():
        for rank in range(size):
            volume, residuals = results[rank][size][name]
            torch.testing.assert_close(volume, result.volume, rtol=1e-10, atol=1e-14, msg=f"{name}, {rank} of {size}")
            assert residuals == pytest.approx([entry.residual for entry in result.history], rel=1e-10)
            assert torch.equal(volume, results[0][size][name][0])


@pytest.mark.parametrize("size", [1, 2, COUNT])
def test_the_verb_shares_images_weights_and_memory(results, size):
    projector, _, images = workers.scene()
    options = {"method": "tv", "n_subsets": 4, "weights": 1 + images, "iterations": 3}
    alone = raygrad.reconstruct(images, projector.views, projector.volume_geometry, **options).volume
    for rank in range(size):
        torch.testing.assert_close(results[rank][size]["tv by the verb"], alone, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("size", [1, 2, COUNT])
def test_operator(results, size):
    projector, truth, images = workers.scene()
    weights = torch.rand(images.shape, dtype=images.dtype, generator=torch.Generator().manual_seed(1))
    translation = torch.zeros(len(images), 3, dtype=images.dtype, requires_grad=True)
    (projector.with_views(workers.moved(projector.views, translation))(truth) * weights).sum().backward()
    torch.testing.assert_close(results[0][size]["poses gradient"], translation.grad)
    for rank in range(size):
        of_rank = results[rank][size]
        torch.testing.assert_close(of_rank["adjoint"], projector.T(images))
        assert of_rank["norm"] == pytest.approx(projector.norm(), rel=1e-12)
        torch.testing.assert_close(of_rank["volume gradient"], projector.T(weights))
        torch.testing.assert_close(of_rank["volume gradient, poses moving"], projector.T(weights))


@pytest.mark.parametrize("size", [1, 2, COUNT])
def test_subsets_are_the_same_views_whatever_the_number_of_processes(results, size):
    projector, _, images = workers.scene()
    for position, (chosen, numbers) in enumerate(projector.subsets(5)):
        shared = [results[rank][size]["subsets"][position] for rank in range(size)]
        assert torch.equal(torch.cat([of_rank[0] for of_rank in shared]), numbers)
        for _, _, backprojection in shared:
            torch.testing.assert_close(backprojection, chosen.T(images[numbers]))
    held = [[len(entry[0]) for entry in results[rank][size]["subsets"]] for rank in range(size)]
    assert size < COUNT or 0 in [length for lengths in held for length in lengths]  # some process holds none of one
    assert all(max(lengths) - min(lengths) <= 1 for lengths in held)  # no process waits for another's subset


@pytest.mark.parametrize("size", [1, 2, COUNT])
def test_an_error_of_one_process_ends_all_with_it(results, size):
    for rank in range(size):
        told = results[rank][size]["errors"]
        where = f"(in process {size - 1} of {size})"
        assert told["nan"].startswith("ValueError: Expected images of finite values")
        assert told["nan"].endswith(where)
        assert told["shape"].startswith("ValueError: Expected images of shape")
        assert told["callback"] == f"KeyError: \"'callback' {where}\""
        assert told["all"].startswith("ValueError: Expected at least one iteration")
        assert told["lengths"].startswith("ValueError: Expected an image for each of 12 views. Got 13.")
        assert told["subsets"].startswith("ValueError: Expected 1 to 13 subsets")
        assert ("few" in told) == (size > 1)
    assert size == 1 or told["few"].startswith("ValueError: Expected at least one view a process. Got 1 views and")


@pytest.mark.parametrize("size", [1, 2, COUNT])
def test_stopped_runs_go_on_with_any_number_of_processes(results, alone, size):
    for rank in range(size):
        for name, (as_many, begun_by_one) in results[rank][size]["checkpoints"].items():
            assert torch.equal(as_many, results[rank][size][name][0])
            torch.testing.assert_close(begun_by_one, alone[name].volume, rtol=1e-10, atol=1e-14)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system kills in another way")
def test_a_killed_worker_ends_the_run_and_nothing_is_lost(launch, alone, tmp_path):
    (tmp_path / "die").touch()
    assert launch(workers.lose_a_worker, 3, tmp_path) == [3, 3, -signal.SIGKILL]
    for rank in range(2):
        message = (tmp_path / f"error{rank}").read_text()
        assert message.startswith("WorkerLostError: A worker was lost: one of 3 processes ended or did not answer (")
        assert f"3 iterations are kept in {tmp_path / 'run.pt'}: the same command goes on from there" in message
    kept = torch.load(tmp_path / "run.pt", weights_only=True)
    assert len(kept["history"]) == 3
    (tmp_path / "die").unlink()
    assert launch(workers.lose_a_worker, 2, tmp_path) == [0, 0]
    volume = torch.load(tmp_path / "volume0", weights_only=True)
    torch.testing.assert_close(volume, alone["sirt"].volume, rtol=1e-10, atol=1e-14)


def test_a_hanging_worker_is_lost_after_the_timeout(launch, tmp_path):
    assert launch(workers.hang, 2, tmp_path, waited_for=1)[0] == 3
    message = (tmp_path / "error0").read_text()
    assert message.startswith("WorkerLostError: A worker was lost")
    assert message.endswith(
        "No checkpoint was kept, so the same command begins anew: name one, and it goes on from there."
    )


@pytest.mark.skipif(os.name == "nt", reason="this system knows no SIGTERM")
def test_torchruns_signal_to_end_says_where_to_go_on(launch, tmp_path):
    assert launch(workers.be_told_to_end, 1, tmp_path) == [3]
    message = (tmp_path / "error0").read_text()
    assert message.startswith("WorkerLostError: This process was told to end")
    assert "2 iterations are kept in" in message


def test_a_worker_that_never_comes(launch, tmp_path):
    assert launch(workers.wait_for_others, 1, tmp_path) == [3]
    assert (tmp_path / "error0").read_text().startswith("WorkerLostError: Of 2 processes not all came within 1 s")


def test_one_process_alone_keeps_everything(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    projector, _, images = workers.scene()
    with join_processes() as processes:
        assert type(processes) is Processes
        own, kept = shard(projector, images, processes)
    assert own is projector
    assert kept is images


def test_mistakes():
    with pytest.raises(ValueError, match="joined by join_processes"):
        Group()
    with pytest.raises(ValueError, match="timeout of more than 0"), join_processes(timeout=0):
        pass
