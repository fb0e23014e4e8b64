"""What every test may rely on: a fixed seed, no window of matplotlib's, a cache folder of its own."""

import os
import sys

import pytest
import torch

os.environ.setdefault("MPLBACKEND", "Agg")
if not torch.cuda.is_available():  # Triton's kernels then run in Python; it reads this when it is imported
    os.environ.setdefault("TRITON_INTERPRET", "1")

# Kernels in Triton's language look like Python functions, but a decorator between them and @triton.jit breaks them.
for finder in sys.meta_path:
    if instruments := getattr(finder, "should_instrument", None):
        finder.should_instrument = lambda name, i=instruments: not name.startswith("raygrad.kernels._gpu") and i(name)


def pytest_itemcollected(item: pytest.Item) -> None:
    """What is parametrized by the GPU backend needs no mark of its own."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    if any(isinstance(value, str) and value == "gpu" for value in parameters):
        item.add_marker("interpreter")


@pytest.fixture(autouse=True, scope="session")
def cache_folder_of_the_tests(tmp_path_factory):
    """Example data are kept for the session, by all its processes, and the user's cache folder is left alone."""
    of_this_process = tmp_path_factory.getbasetemp()
    session = of_this_process.parent if "PYTEST_XDIST_WORKER" in os.environ else of_this_process
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYGRAD_CACHE", str(session / "raygrad-cache"))
        yield


@pytest.fixture(autouse=True)
def fixed_seed():
    """Random numbers do not depend on which tests ran before."""
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def one_thread():
    """Images of a few pixels gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def gvxr(tmp_path_factory):
    """gVXR with an OpenGL context but no window. It needs libraries of the system, so it is never required."""
    try:
        from gvxrPython3 import gvxr
    except ImportError as error:
        pytest.skip(f"gVXR cannot be imported: {error}")
    here = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("gvxr"))  # for its log
    try:
        gvxr.createNewContext("EGL")
        yield gvxr
        gvxr.terminate()
    except Exception as error:
        pytest.skip(f"gVXR has no OpenGL context: {error}")
    finally:
        os.chdir(here)
