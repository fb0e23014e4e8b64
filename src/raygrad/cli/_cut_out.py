"""Say and show what of a CT was left out of a registration."""

from collections.abc import Callable
from pathlib import Path

from raygrad._files import written_whole
from raygrad._optional import require
from raygrad.data import Subject
from raygrad.visualization import plot_cut_out

PICTURE = "table.png"


def show_cut_out(subject: Subject, folder: Path, say: Callable[[str], None]) -> None:
    """Say how much was cut out, and draw it into `table.png` of the folder; neither if nothing was.

    Raises:
        OSError: the picture cannot be written.
        MissingLibraryError: matplotlib is not installed.
    """
    cut_out = getattr(subject, "cut_out", None)
    voxels = 0 if cut_out is None else int(cut_out.voxels.sum())
    if cut_out is None or voxels == 0:
        return
    require("matplotlib", "a picture of what was cut out", extra="cli")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    plot_cut_out(subject, figure.subplots(1, 2))
    with written_whole(folder / PICTURE) as unfinished:
        figure.savefig(unfinished, dpi=110)
    x, y, z = cut_out.spacing
    litres = voxels * x * y * z / 1e6
    say(
        f"cut out of the CT: {litres:.2g} litres that are not attached to the patient, such as the table; see "
        f"{folder / PICTURE} (--keep-table keeps them)"
    )
