"""The demo from start to end."""

import time
from collections.abc import Iterator
from pathlib import Path

from raygrad._files import written_whole
from raygrad._optional import require
from raygrad.cli._demo.landscape import draw_landscape
from raygrad.cli._demo.reconstruction import draw_reconstruction
from raygrad.cli._demo.registration import draw_registration
from raygrad.cli._demo.views import draw_views
from raygrad.data import load_example_ct

QUICK_SHAPE = (128, 128, 67)


def run_demo(folder: Path, quick: bool = False) -> Iterator[tuple[Path, str]]:
    """Draw the demo's pictures one by one and yield each one's path with a sentence on what it shows.

    `quick` makes coarser pictures in a few seconds; otherwise they take about a minute on two cores.

    Raises:
        OSError: `folder` cannot be made or written to.
        ImportError: a library for plots is missing.
    """
    require("matplotlib", "the demo's pictures", extra="cli").use("Agg")
    require("tqdm", "the demo's progress bars", extra="cli")
    folder.mkdir(parents=True, exist_ok=True)

    print("Loading the example CT (made on the first run, which takes some seconds, and cached) ...", flush=True)
    start = time.perf_counter()
    subject = load_example_ct(shape=QUICK_SHAPE) if quick else load_example_ct()
    shape = " x ".join(map(str, subject.volume.spatial_shape))
    print(f"... {shape} voxels, {time.perf_counter() - start:.1f} s", flush=True)

    for name, draw in (
        ("01_views.png", draw_views),
        ("02_landscape.png", draw_landscape),
        ("03_registration.png", draw_registration),
        ("04_reconstruction.png", draw_reconstruction),
    ):
        figure, meaning = draw(subject, quick)
        with written_whole(folder / name) as unfinished:
            figure.savefig(unfinished, dpi=120)
        yield (folder / name).absolute(), meaning
