"""raygrad: differentiable X-ray imaging with exact derivatives."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raygrad.registration import register as register
    from raygrad.registration import search as search

__version__ = "0.1.0"
__all__ = ["__version__", "register", "search"]


def __getattr__(name: str) -> Any:
    """Import the verbs when they are asked for (PEP 562): `import raygrad` and `raygrad --help` do without torch."""
    if name in __all__:
        from raygrad import registration

        return getattr(registration, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
