"""The command `raygrad`. Each command imports what it needs when it runs, so that `--help` answers at once."""

from raygrad.cli._application import app as app
from raygrad.cli._application import main as main

__all__ = ["app", "main"]
