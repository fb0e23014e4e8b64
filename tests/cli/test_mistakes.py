"""What the user can mend is one sentence; a bug of raygrad's shows where it happened."""

import platform
from types import ModuleType

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from raygrad._errors import InputError
from raygrad._optional import require
from raygrad.cli import app
from raygrad.cli._mistakes import is_mistake, mistakes_in_one_sentence
from raygrad.pose import convert


def code(lines, package):
    """A function of these lines as if it stood in a module of a package."""
    module = ModuleType(f"{package}.somewhere")
    module.__dict__.update(torch=torch, np=np)
    body = "\n".join(f"    {line}" for line in lines.splitlines())
    exec(compile(f"def run():\n{body}", f"{package}/somewhere.py", "exec"), module.__dict__)
    return module.run


def error_of(function):
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        function()
    return caught.value


MENDABLE = {
    "an input": lambda: raise_(InputError("Expected an X-ray.")),
    "a file": lambda: open("/nowhere/at/all"),
    "a folder": lambda: np.save("/nowhere/at/all.npy", np.zeros(1)),
    "memory": lambda: raise_(MemoryError("too large")),
    "memory of a GPU": lambda: raise_(torch.OutOfMemoryError("CUDA out of memory")),
    "a library": lambda: require("no_such_library", "reading minds"),
    "a refused value": lambda: convert(torch.zeros(1, 3), torch.zeros(1, 3), parameterization="gibbs"),
    "a refused type": code("raise TypeError('Expected a tensor. Got a list.')", "raygrad"),
    "a check": code("raise ValueError('Expected more. Got less.')", "raygrad"),
    "a check that has a cause": code(
        "try:\n    int('x')\nexcept ValueError as error:\n    raise ValueError('Expected a number.') from error",
        "raygrad",
    ),
}

BUGS = {
    "a conversion": code("int('x')", "raygrad"),
    "an unpacking": code("one, two = 1, 2, 3", "raygrad"),
    "a zip": code("list(zip([1], [], strict=True))", "raygrad"),
    "an argument": code("sum(nothing=1)", "raygrad"),
    "a conversion passed on": code("try:\n    int('x')\nexcept ValueError:\n    raise", "raygrad"),
    "shapes in torch": code("torch.zeros(2) + torch.zeros(3)", "raygrad"),
    "a check of torch's": code("torch.nn.functional.interpolate(torch.zeros(2), size=3)", "raygrad"),
    "a check of numpy's": code("np.stack([np.zeros(2), np.zeros(3)])", "raygrad"),
    "a key": code("{}['x']", "raygrad"),
    "an import": code("from raygrad import no_such_room", "raygrad"),
    "an assertion": code("assert False", "raygrad"),
    "a check of another package": code("raise ValueError('Expected more.')", "elsewhere"),
}


def raise_(error):
    raise error


@pytest.mark.parametrize("what", MENDABLE)
def test_what_the_user_can_mend(what):
    error = error_of(MENDABLE[what])
    assert is_mistake(error), repr(error)


@pytest.mark.parametrize("what", BUGS)
def test_what_is_a_bug_of_ours(what):
    error = error_of(BUGS[what])
    assert not is_mistake(error), repr(error)


@pytest.mark.parametrize("what", BUGS)
def test_bugs_keep_their_traceback(what):
    with pytest.raises(BaseException) as caught, mistakes_in_one_sentence():  # noqa: PT011
        BUGS[what]()
    assert "raygrad/somewhere.py" in str(caught.getrepr()) or "elsewhere/somewhere.py" in str(caught.getrepr())


def test_the_end_of_a_command_is_neither():
    with pytest.raises(typer.Exit) as caught, mistakes_in_one_sentence():
        raise typer.Exit(1)
    assert caught.value.exit_code == 1


def test_a_command_with_a_bug_does_not_blame_the_user(monkeypatch):
    monkeypatch.setattr(platform, "python_version", code("return int('x')", "raygrad"))
    result = CliRunner().invoke(app, ["info"])
    assert result.exit_code == 1
    assert isinstance(result.exception, ValueError)
    assert "raygrad: " not in result.output


def test_a_missing_library_is_one_sentence(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: require("no_such_library", "reading minds"))
    result = CliRunner().invoke(app, ["info"])
    assert result.exit_code == 2
    assert result.output == 'raygrad: no_such_library is needed for reading minds: pip install "raygrad[io]"\n'
