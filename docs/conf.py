"""How Sphinx builds these pages: `make docs`. The programs in them are run, and errors and warnings end the build."""

import os
import re

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

html_theme = "furo"
html_title = f"raygrad {release}"
html_static_path: list[str] = []


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
            result.append(re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line).replace("|", r"\|"))
    lines[:] = result


def setup(app):
    """Before napoleon (priority 500) turns sections into fields."""
    app.connect("autodoc-process-docstring", markdown_to_rst, priority=400)
