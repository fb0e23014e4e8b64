"""Put three.js into src/raygrad/_cockpit/page/vendor/three/: what the page's scene is drawn with, and nothing else.

    python tools/vendor_three.py

npm gets the package from the registry that it is configured with; what comes has to have the hash below, which is the
one that npm publishes for this version. The newest version whose minified build is published: later packages have
only one of three times the size.

The page may load nothing but files of its own server and has no inline script, so it can have no import map: the bare
'three' of the controls becomes the path of the file that lies beside them.
"""

import base64
import hashlib
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

VERSION = "0.185.1"
SHA512 = "5aojFCXKwnjBRZvUnt3WFfEcvUJgkN5LlijRFN95hMy8WVkG4I0QNcJE+OuWvuJ0bOdStrbfXn0pkd6/QyiAlg=="
FILES = (
    "LICENSE",
    "build/three.core.min.js",
    "build/three.module.min.js",
    "examples/jsm/controls/OrbitControls.js",
    "examples/jsm/controls/TransformControls.js",
)
FOLDER = Path(__file__).parents[1] / "src/raygrad/_cockpit/page/vendor/three"
SUMS = "SHA256SUMS"


def download(folder: Path) -> Path:
    """The package as npm published it.

    Raises:
        SystemExit: if there is no npm, or if other bytes came.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("Expected npm in the PATH, which comes with Node.js. Got none.")
    subprocess.run([npm, "pack", f"three@{VERSION}", "--pack-destination", folder], check=True, capture_output=True)
    package = folder / f"three-{VERSION}.tgz"
    found = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if found != SHA512:
        raise SystemExit(f"Expected three {VERSION} with SHA-512 {SHA512}. Got {found}.")
    return package


def for_the_page(program: bytes) -> bytes:
    """A module's text, its imports of three by the path."""
    return re.sub(rb"""(\bfrom\s*)(['"])three\2""", rb"\1'./three.module.min.js'", program)


def unpack(package: Path) -> dict[str, bytes]:
    """What the page needs of the package, by file name."""
    with tarfile.open(package) as archive:
        members = {name: archive.extractfile(f"package/{name}") for name in FILES}
        return {Path(name).name: for_the_page(member.read()) for name, member in members.items() if member}


def main() -> None:
    """Write the files and what they hash to, as sha256sum does."""
    with tempfile.TemporaryDirectory() as scratch:
        files = unpack(download(Path(scratch)))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (FOLDER / name).write_bytes(content)
    sums = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items())]
    (FOLDER / SUMS).write_text("".join(sums), encoding="ascii", newline="\n")
    print(f"{FOLDER}: three {VERSION}, {sum(map(len, files.values()))} bytes")


if __name__ == "__main__":
    main()
