"""Who watches a run: a progress bar, and the user's callback, which may end it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from raygrad._optional import require
from raygrad._progress import Iteration

Callback = Callable[[Iteration], bool | None]


@contextmanager
def watched(callback: Callback | None, progress: bool, what: str) -> Iterator[Callback]:
    """A callback that shows stage, iteration and best score on a bar, if wanted, and calls another one, if given.

    Raises:
        ImportError: tqdm is not installed and a bar is wanted.
    """
    bar = require("tqdm", "progress bars", extra="cli").tqdm(desc=what, unit=" iterations") if progress else None

    def watch(iteration: Iteration) -> bool | None:
        if bar is not None and iteration.pixels is not None and iteration.score is not None:
            rows, columns = iteration.pixels
            bar.set_postfix_str(f"{rows} x {columns} pixels, score {iteration.score.max().item():.4f}", refresh=False)
            bar.update()
        return None if callback is None else callback(iteration)

    try:
        yield watch
    finally:
        if bar is not None:
            bar.close()
