"""The house itself: small files, no circles, and a border that users can see; pages are in test_border.py."""

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

import grimp
import pytest

import raygrad

ROOT = Path(__file__).parents[1]
PACKAGE = Path(raygrad.__file__).parent
LONGEST = 500
PROGRAMS = {".py", ".cpp", ".h", ".hpp"}


# --- files


def test_no_file_is_long():
    files = [path for folder in (PACKAGE, ROOT / "tests") for path in folder.rglob("*") if path.suffix in PROGRAMS]
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert len(lengths) > 100
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}


# --- circles


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """The modules that import one another, directly or by way of others (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in sorted(imports[module]):
            if other not in order:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], order[other])
        if low[module] == order[module]:
            place = stack.index(module)
            members = sorted(stack[place:])
            del stack[place:]
            if len(members) > 1 or module in imports[module]:
                found.append(members)

    for module in sorted(imports):
        if module not in order:
            visit(module)
    return found


def imports_of(whole_rooms: bool) -> dict[str, set[str]]:
    """What each module imports of raygrad's, in its functions too; or each room, its modules taken as one."""
    graph = grimp.build_graph("raygrad", exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    if not whole_rooms:
        return imports
    rooms: dict[str, set[str]] = {}
    for module, others in imports.items():
        rooms.setdefault(_room(module), set()).update(room for room in map(_room, others) if room != _room(module))
    return rooms


def _room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == [["b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("whole_rooms", [False, True], ids=["modules", "rooms"])
def test_no_modules_import_each_other(whole_rooms):
    imports = imports_of(whole_rooms)
    assert len(imports) > 10
    assert circles(imports) == []


# --- the border


def is_public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split("."))


PUBLIC = [
    "raygrad",
    *(found.name for found in pkgutil.walk_packages(raygrad.__path__, "raygrad.") if is_public(found.name)),
]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_modules_can_be_imported_and_say_what_they_hold(name):
    module = importlib.import_module(name)
    assert isinstance(module, ModuleType)
    assert module.__name__ == name
    assert (module.__doc__ or "").strip()


@pytest.mark.parametrize("name", PUBLIC[1:])
def test_a_name_that_is_reached_from_above_is_the_module_of_that_name(name):
    """`raygrad.registration.search` may be a function or a module, and not one that hides the other."""
    importlib.import_module(name)
    above, _, last = name.rpartition(".")
    assert getattr(importlib.import_module(above), last) is importlib.import_module(name)


# --- pages
