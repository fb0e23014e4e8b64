"""three.js lies beside the page as it was published, and whole: nothing of it is fetched while the page is used."""

import hashlib
import re
from pathlib import Path

import pytest

import raygrad

THREE = Path(raygrad.__file__).parent / "_cockpit/page/vendor/three"
SUMS = dict(reversed(line.split("  ")) for line in (THREE / "SHA256SUMS").read_text(encoding="ascii").splitlines())


@pytest.mark.parametrize("name", SUMS)
def test_a_file_has_the_hash_that_it_came_with(name):
    assert hashlib.sha256((THREE / name).read_bytes()).hexdigest() == SUMS[name]


def test_every_file_has_a_hash_and_the_licence_is_among_them():
    lying = {path.name for path in THREE.iterdir() if not path.name.endswith(".d.ts")}
    assert lying == {"SHA256SUMS", *SUMS}
    assert "MIT" in (THREE / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in SUMS if name.endswith(".js")])
def test_a_module_imports_only_its_neighbours(name):
    """A bare name would need an import map, which is an inline script, and those are forbidden to the page."""
    program = (THREE / name).read_text(encoding="utf-8")
    code = re.sub(r"/\*.*?\*/", "", program, flags=re.DOTALL)
    imported = re.findall(r"""(?:\bfrom\s*|\bimport\s*\(?\s*)['"]([^'"]+)['"]""", code)
    assert {path.removeprefix("./") for path in imported} <= set(SUMS)
    assert "sourceMappingURL" not in program
