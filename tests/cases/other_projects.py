"""The projects that raygrad is compared with, where they are installed."""

import os
import pkgutil
import warnings
from typing import Any

import pytest


def import_peer(name: str) -> Any:
    """A module of another project, or what is in one, by its full name.

    Without it the tests are skipped. `make test-peers` sets RAYGRAD_REQUIRE_PEERS=1, and then they fail.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pkgutil.resolve_name(name)
    except (ImportError, AttributeError) as error:
        if os.environ.get("RAYGRAD_REQUIRE_PEERS") == "1":
            raise
        pytest.skip(f"{name} cannot be imported: {error}", allow_module_level=True)
