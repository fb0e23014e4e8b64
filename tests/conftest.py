"""What every test may rely on: a fixed seed, no window of matplotlib's, a cache folder of its own."""

import os

import pytest
import torch

os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True, scope="session")
def cache_folder_of_the_tests(tmp_path_factory):
    """Example data are kept for the session, and the user's cache folder is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYGRAD_CACHE", str(tmp_path_factory.mktemp("raygrad-cache")))
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
