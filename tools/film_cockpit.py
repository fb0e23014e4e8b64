"""Film the cockpit for the README: docs/images/cockpit.webp, and one still of it, docs/images/cockpit.png.

    python tools/film_cockpit.py

needs the extra "browser" and a Chromium (`make test-browser` installs both). What is seen is the real page over the
example, driven by a real pointer: a drag, snap, undo, registration, how sure it is, the landscape. The pointer is drawn
into the pictures afterwards, since a browser without a window has none.
"""

import io
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Locator, Page, sync_playwright

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs/images"
SIZE = (1280, 800)
SHOWN = (960, 600)
MOST_BYTES = 3_000_000
ARROW = ((0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12))


@dataclass(eq=False)
class Film:
    """Pictures of a page, each with how long it is shown.

    Attributes:
        page: what is filmed.
        words: what is written below from now on.
        at: where the pointer is.
    """

    page: Page
    words: str = ""
    at: tuple[float, float] = (640.0, 400.0)
    frames: list[Image.Image] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)

    def take(self, time_ms: int = 100) -> None:
        """One picture."""
        image = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        draw = ImageDraw.Draw(image)
        x, y = self.at
        draw.polygon([(x + dx, y + dy) for dx, dy in ARROW], fill="white", outline="black")
        if self.words:
            font = ImageFont.load_default(22)
            left, top, right, bottom = draw.textbbox((0, 0), self.words, font=font)
            width, height = right - left + 28, bottom - top + 18
            x, y = 12, SIZE[1] - height - 12
            draw.rounded_rectangle((x, y, x + width, y + height), 6, fill="#06121f", outline="#6cb4ff")
            draw.text((x + 14, y + 9 - top), self.words, font=font, fill="white")
        self.frames.append(image)
        self.times_ms.append(time_ms)

    def go(self, x: float, y: float, frames: int = 4) -> None:
        """The pointer goes there."""
        x0, y0 = self.at
        for step in range(1, frames + 1):
            self.at = (x0 + (x - x0) * step / frames, y0 + (y - y0) * step / frames)
            self.page.mouse.move(*self.at)
            self.take(80)

    def press(self, control: Locator) -> None:
        """The pointer goes to a control and presses it."""
        control.scroll_into_view_if_needed()
        box = control.bounding_box()
        assert box is not None
        self.go(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.page.mouse.down()
        self.page.mouse.up()

    def wait(self, frames: int, time_ms: int = 100) -> None:
        """Look on for so many pictures."""
        for _ in range(frames):
            self.take(time_ms)
            self.page.wait_for_timeout(60)

    def until_idle(self, most: int = 40) -> None:
        """Look on while something is being worked on."""
        self.page.wait_for_timeout(150)
        for _ in range(most):
            self.take(90)
            if self.page.locator("#job").is_hidden():
                break
            self.page.wait_for_timeout(120)
        self.page.locator("#job").wait_for(state="hidden", timeout=120_000)
        self.wait(2)


def play(film: Film, folder: Path) -> None:
    """What the film shows."""
    page = film.page
    pane = page.locator("#xrays .pane").first.bounding_box()
    assert pane is not None
    x, y = pane["x"] + 0.45 * pane["width"], pane["y"] + 0.5 * pane["height"]
    film.words = "Drag the anatomy: the DRR follows"
    film.wait(3, 150)
    film.go(x, y)
    page.mouse.down()
    film.go(x + 60, y - 25, 10)
    film.go(x - 22, y + 14, 8)
    page.mouse.up()
    film.wait(3)
    film.words = "Snap: a few steps downhill"
    film.press(page.locator("#snap"))
    film.until_idle()
    film.words = "Undo takes anything back"
    film.press(page.locator("#undo"))
    film.wait(4)
    film.words = "Register all views"
    film.press(page.locator("#register"))
    film.until_idle()
    film.words = "How sure it is, and what is weak"
    film.page.evaluate("""async () => (await import("/shell/panels.js")).revealPanel("certainty")""")
    film.wait(8, 150)
    page.screenshot(path=folder / "cockpit.png")
    film.words = "The landscape of two directions"
    film.page.evaluate("""async () => (await import("/shell/panels.js")).revealPanel("landscape")""")
    film.press(page.locator("#panel-landscape .body button").first)
    film.until_idle(20)
    page.locator("#panel-landscape").evaluate("panel => panel.scrollIntoView({ block: 'end' })")
    film.wait(3, 800)


def write(film: Film, path: Path) -> None:
    """As small as it has to be."""
    small = [frame.resize(SHOWN, Image.Resampling.LANCZOS) for frame in film.frames]
    for quality in (72, 60, 50, 40, 30):
        options: dict[str, Any] = {"duration": film.times_ms, "loop": 0, "quality": quality, "method": 4}
        small[0].save(path, save_all=True, append_images=small[1:], **options)
        if path.stat().st_size < MOST_BYTES:
            seconds = sum(film.times_ms) / 1000
            print(f"{path}: {len(small)} pictures, {seconds:.1f} s, {path.stat().st_size / 1e6:.2f} MB, q {quality}")
            return
    raise SystemExit(f"Expected a film below {MOST_BYTES / 1e6} MB. Got {path.stat().st_size / 1e6:.2f}.")


def main() -> None:
    """Serve the example, film it, write both pictures."""
    sys.path.insert(0, str(ROOT / "tests/browser"))
    import chromium

    command = [sys.executable, "-m", "raygrad", "cockpit", "example", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[1]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium.find(), args=list(chromium.FLAGS))
            context = browser.new_context(viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="dark")
            context.add_init_script("localStorage.setItem('raygrad cockpit tour offered', 'true')")
            page = context.new_page()
            page.goto(url)
            page.locator("#xrays .pane").first.wait_for(timeout=300_000)
            page.wait_for_timeout(10_000)  # the scene's surfaces come last
            film = Film(page)
            play(film, FOLDER)
            browser.close()
        server.terminate()
    write(film, FOLDER / "cockpit.webp")


if __name__ == "__main__":
    main()
