"""How Sphinx builds these pages: `make docs`. The programs in them are run, and errors and warnings end the build."""

import ast
import enum
import importlib
import inspect
import os
import pkgutil
import re
from types import ModuleType

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

import raygrad

# The notebooks' kernels inherit both.
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
os.environ["PYTHONWARNINGS"] = (
    "ignore:IProgress not found"  # tqdm would rather have ipywidgets, and nothing shows a bar
)

project = "raygrad"
author = "raygrad contributors"
release = version = raygrad.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "jupyter_execute"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_show_tb = True
nb_output_stderr = "warn"  # nothing on these pages warns but where it is caught and printed
nb_merge_streams = True
nb_render_image_options = {"align": "center"}

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the texts give shapes and units; signatures of named shapes would not fit a line
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]  # told in a class's text, and documented once
napoleon_attr_annotations = False
add_module_names = False

html_theme = "furo"
html_show_copyright = False  # the LICENSE says it
html_title = f"raygrad {release}"
html_static_path: list[str] = []


class Room(SphinxDirective):
    """All names that a module exports (`__all__`): a table of them, then what the docstring of each says.

    The pages below api/ are made of it, so they follow the code by themselves.
    """

    required_arguments = 1

    def run(self):
        """Markdown with reStructuredText in it, since that is what autodoc writes."""
        module = importlib.import_module(self.arguments[0])
        exported = {name: getattr(module, name) for name in module.__all__}
        table = [
            f"   * - {link(module, name, value)}\n     - {summary(module, name, value)}"
            for name, value in exported.items()
        ]
        here = {
            name: value for name, value in exported.items() if home_of(name, value) is module and module is not raygrad
        }
        blocks = [
            f".. automodule:: {module.__name__}\n   :no-members:",
            ".. list-table::\n   :widths: 30 70\n\n" + "\n".join(table),
            *(described(module, name, value) for name, value in here.items()),
        ]
        lines = ["```````{eval-rst}", *"\n\n".join(blocks).split("\n"), "```````"]
        container = nodes.Element()
        self.state.nested_parse(StringList(lines, module.__name__), self.content_offset, container)
        return container.children


def public_modules(package):
    """A package and all modules below it, but for what begins with an underscore, which is not even imported."""
    yield package
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if not found.name.rpartition(".")[2].startswith("_"):
            module = importlib.import_module(found.name)
            yield from public_modules(module) if found.ispkg else [module]


PUBLIC = list(public_modules(raygrad))


def home_of(name, value):
    """Of the public modules that export something, the one that it is described in: whose own it is."""
    if isinstance(value, ModuleType) or name.startswith("_"):
        return None
    made_in = f"{getattr(value, '__module__', None)}."
    exporting = [module for module in PUBLIC if name in module.__all__ and getattr(module, name) is value]
    return max(exporting, key=lambda m: len(m.__name__) if made_in.startswith(f"{m.__name__}.") else m is not raygrad)


def link(module, name, value):
    """A name that leads to its description."""
    if isinstance(value, ModuleType):
        return f":py:mod:`{name} <{value.__name__}>`"
    home = home_of(name, value)
    return f"``{name}``" if home is None else f":py:obj:`{name} <{home.__name__}.{name}>`"


def summary(module, name, value):
    """The first sentence about it."""
    text = said_of_value(module, name) if is_value(value) else inspect.getdoc(value) or ""
    if name == "__version__":
        text = "The version, as a string."
    return " ".join(as_rst(re.split(r"(?<=\.)\s|\n\n", text.strip(), maxsplit=1)[0]).split())


def described(module, name, value):
    """The directive that describes one name."""
    path = f"{module.__name__}.{name}"
    if is_value(value):
        said = as_rst(said_of_value(module, name)).split("\n")
        return "\n".join([f".. py:data:: {path}", "", *(f"   {line}" for line in said)])
    if inspect.isclass(value):
        undocumented = "\n   :undoc-members:" if issubclass(value, enum.Enum) else ""
        return f".. autoclass:: {path}\n   :members:{undocumented}"
    return f".. autofunction:: {path}"


def is_value(thing):
    """Whether a name is a constant or a type's shorthand: no function, class or module of ours."""
    ours = getattr(thing, "__module__", "").startswith("raygrad")
    return not isinstance(thing, ModuleType) and not ((inspect.isclass(thing) or inspect.isroutine(thing)) and ours)


def said_of_value(module, name):
    """The string that stands below a value, in the module that makes it."""
    tree = ast.parse(inspect.getsource(module))
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return said_of_value(importlib.import_module(node.module), alias.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets) and isinstance(
            after, ast.Expr
        ):
            return inspect.cleandoc(ast.literal_eval(after.value))
    return ""


def as_rst(text):
    """Code in Markdown's way, and bars that are no substitutions, in reStructuredText's."""
    return re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", text).replace("|", r"\|")


def markdown_to_rst(app, what, name, obj, options, lines):
    """Docstrings are written in Markdown as far as code goes: `names` and fenced programs."""
    fenced, result = False, []
    # The names of arguments that share an entry may take two lines, which napoleon does not expect.
    lines[:] = re.sub(r"(?m)^([ \w,]+,)\n +(\w+:)", r"\1 \2", "\n".join(lines)).split("\n")
    for line in lines:
        if line.strip().startswith("```"):
            result += [] if fenced else [line.replace("```python", ".. code-block:: python"), ""]
            fenced = not fenced
        elif fenced:
            result.append("    " + line)
        else:
            result.append(as_rst(line))
    lines[:] = result


def setup(app):
    """Before napoleon (priority 500) turns sections into fields."""
    app.connect("autodoc-process-docstring", markdown_to_rst, priority=400)
    app.add_directive("room", Room)
