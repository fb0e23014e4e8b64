"""What the user can mend is one sentence, and so is a bug of raygrad's, which leaves a report."""

import platform
import tempfile
from types import ModuleType

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from raygrad._errors import InputError, WritingError
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
    "memory of torch's": lambda: torch.empty(2**60),
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
def test_bugs_are_told_in_one_sentence_and_their_traceback_kept_for_a_report(what, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(typer.Exit) as caught, mistakes_in_one_sentence():
        BUGS[what]()
    assert caught.value.exit_code == 70
    (report,) = tmp_path.iterdir()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("raygrad: something went wrong")
    assert str(report) in line
    text = report.read_text(encoding="utf-8")
    assert "Traceback" in text
    assert "raygrad/somewhere.py" in text or "elsewhere/somewhere.py" in text


def test_tracebacks_are_printed_where_that_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("RAYGRAD_TRACEBACK", "1")
    with pytest.raises(typer.Exit), mistakes_in_one_sentence():
        BUGS["a key"]()
    assert "somewhere.py" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_is_no_other_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(typer.Exit), mistakes_in_one_sentence():
        BUGS["a key"]()
    assert "--traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [WritingError("Could not write 'a.nii'."), MemoryError("2 TB"), typer.BadParameter("x")]
)
def test_what_failed_is_no_mistake_of_input(error):
    with pytest.raises(Exception) as caught, mistakes_in_one_sentence():  # noqa: PT011
        raise error
    assert caught.value.exit_code == (2 if isinstance(error, typer.BadParameter) else 1)


def test_the_end_of_a_command_is_neither():
    with pytest.raises(typer.Exit) as caught, mistakes_in_one_sentence():
        raise typer.Exit(1)
    assert caught.value.exit_code == 1


def test_a_command_with_a_bug_does_not_blame_the_user(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(platform, "python_version", code("return int('x')", "raygrad"))
    result = CliRunner().invoke(app, ["info"])
    assert result.exit_code == 70
    assert "no mistake of yours (ValueError: invalid literal" in result.output


def test_a_missing_library_is_one_sentence(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: require("no_such_library", "reading minds"))
    result = CliRunner().invoke(app, ["info"])
    assert result.exit_code == 2
    assert result.output == 'raygrad: no_such_library is needed for reading minds: pip install "raygrad[io]"\n'
