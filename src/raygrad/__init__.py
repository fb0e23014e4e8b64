"""raygrad: differentiable X-ray imaging with exact derivatives."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raygrad.projector import Projector as Projector
    from raygrad.reconstruction import reconstruct as reconstruct
    from raygrad.registration import register as register
    from raygrad.registration import search as search

__version__ = "0.1.0"
__all__ = ["Projector", "__version__", "reconstruct", "register", "search"]

_ROOMS = {
    "Projector": "projector",
    "reconstruct": "reconstruction",
    "register": "registration",
    "search": "registration",
}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import what is asked for (PEP 562): `import raygrad` and `raygrad --help` do without torch."""
        if name in _ROOMS:
            return getattr(importlib.import_module(f"raygrad.{_ROOMS[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
