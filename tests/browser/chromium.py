"""The Chromium that the page is tested in: the machine's if there is one, else Debian's, else Playwright's.

`make test-browser` runs this file, which installs one where there is none.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",  # root and containers need it; what is opened is our own page only
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find() -> str | None:
    """The program's path: as the environment variable CHROMIUM says, else the machine's, else Playwright's."""
    if named := os.environ.get("CHROMIUM"):
        return named
    return next(filter(None, map(shutil.which, NAMES)), None) or _of_playwright()


def _of_playwright() -> str | None:
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).is_file() else None


def install() -> None:
    """Debian's package where that may be; elsewhere what Playwright brings, Ubuntu's package being an empty one."""
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    may_be_root = not as_root or shutil.which("sudo") is not None
    if may_be_root and shutil.which("apt-get") and _is_debian():
        subprocess.run([*as_root, "apt-get", "update", "-q"], check=False)
        if subprocess.run([*as_root, "apt-get", "install", "-y", "-q", "chromium"], check=False).returncode == 0:
            return
    playwright = [sys.executable, "-m", "playwright"]
    subprocess.run([*playwright, "install", "chromium"], check=True)
    if may_be_root and sys.platform == "linux":
        subprocess.run([*playwright, "install-deps", "chromium"], check=False)


def _is_debian() -> bool:
    release = Path("/etc/os-release")
    return release.is_file() and "ID=debian" in release.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    if find() is None:
        install()
    found = find()
    if found is None:
        raise SystemExit("Expected a Chromium after one was installed. Got none: name yours, CHROMIUM=/path/to/it.")
    print(f"Chromium: {found}")
