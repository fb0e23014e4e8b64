"""The cockpit from Python: in a notebook, or from a program."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from raygrad._cockpit._serving import Serving
from raygrad._cockpit._session import Session
from raygrad._cockpit._xray import OpenXRay
from raygrad._dicom import is_dicom
from raygrad._errors import InputError
from raygrad._optional import require
from raygrad.data import Subject, read
from raygrad.drr import DRR
from raygrad.formats import View, XRayGeometry, line_integrals, read_poses, read_xray, read_xray_geometry
from raygrad.pose import RigidTransform
from raygrad.scene import Placed

if TYPE_CHECKING:
    from raygrad._cockpit._widget import CockpitWidget

File = str | os.PathLike[str]
XRays = Tensor | File | Sequence[Tensor | File]
Views = View | Sequence[View] | RigidTransform | File


class Cockpit:
    """A cockpit that is open, or was.

    Attributes:
        session: what it shows.
        url: of its page, for this machine alone.
    """

    def __init__(self, session: Session, serving: Serving) -> None:
        self.session, self.url = session, serving.url
        self._serving = serving

    def poses(self) -> list[View]:
        """Where every X-ray was taken from, as hands and registrations have it now; `write_poses` keeps it."""
        return self.session.views()

    def close(self) -> None:
        """End it. Poses can still be asked for."""
        self._serving.close()


def cockpit(
    ct: Subject | DRR | File,
    xrays: XRays,
    views: Views | None = None,
    *,
    labelmap: File | None = None,
    bodies: Sequence[Placed] = (),
    name: str = "CT",
    port: int = 0,
    wait: bool = True,
) -> "Cockpit | CockpitWidget":
    """Open a page where you see X-rays of a CT, drag the anatomy into place, and let it be registered.

    ```python
    opened = rg.cockpit(drr, xray, start)         # a DRR, an image of line integrals, a pose to begin with
    rg.write_poses("found.json", opened.poses())  # once you have ended the page with Ctrl-C
    ```

    In a notebook the page is in the cell's output, and the cell is done at once. The page is for this machine alone:
    where the notebook's kernel runs on another one it is not seen.

    Args:
        ct: a `Subject`, a `DRR` with the X-rays' detector, or a file or folder for `read`, whose table is removed.
        xrays: line integrals (view, 1, height, width) or one image a view, as `register` takes them, or their files.
        views: where the X-rays were taken from, roughly: one `View` an X-ray, or with a `DRR` one pose an X-ray, or a
            pose file. By default what the header of each file says.
        labelmap: of a CT that is a file: the structures' labels.
        bodies: what moves by itself beside the CT: implants as `raygrad.scene.Mesh`, whose poses are in the CT's world,
            and structures as `raygrad.scene.Body` with labels of a CT that is a `Subject` or of a `DRR`.
        name: of the CT, for people.
        port: of 127.0.0.1, 0 for any that is free.
        wait: serve until Ctrl-C; False to go on at once, until `close` or the end of Python. Not in a notebook.

    Returns:
        The open cockpit with its `session`, `poses()` and `close()`; in a notebook a widget that has them, too.

    Raises:
        InputError: other numbers of views and X-rays, sizes or orientations that do not fit, no view of a file, bodies
            of another kind or of another CT, or a port that is taken.
        TypeError: something else than these.
        MissingLibraryError: a library is not installed: `pip install "raygrad[cockpit]"`.
    """
    if not isinstance(ct, Subject | DRR | str | os.PathLike):
        raise TypeError(f"Expected the CT as a Subject, a DRR or a file. Got {type(ct).__name__}.")
    images = _images(xrays)
    drr = ct if isinstance(ct, DRR) else None
    given = _views(views, drr, images)
    subject = _subject(ct, labelmap, given)
    opened = []
    for number, ((said, image), view) in enumerate(zip(images, given, strict=True), start=1):
        if tuple(image.shape[-2:]) != view.intrinsics.shape:
            size, own = (" x ".join(map(str, shape)) for shape in (view.intrinsics.shape, image.shape[-2:]))
            raise InputError(f"Expected X-ray {number} of {size} pixels, as its view has. Got {own}.")
        if view.orientation != subject.orientation:
            raise InputError(f"Expected views of orientation {subject.orientation}. Got {view.orientation}.")
        opened.append(OpenXRay(view.xray or _name_of(said, number), image, view, header=_header_of(said)))
    session = Session(subject, opened, name, bodies=bodies)
    try:
        if in_notebook():
            require("anywidget", "the cockpit in a notebook", extra="cockpit")
            from raygrad._cockpit._widget import make_widget

            return make_widget(session, port)
        serving = Serving(session, port)
    except Exception:
        session.close()
        raise
    made = Cockpit(session, serving)
    if wait:
        print(f"Cockpit: {made.url}\nIt is yours as long as this runs: Ctrl-C ends it.")
        serving.run()
    else:
        serving.start()
        serving.open_browser()
    return made


def in_notebook() -> bool:
    """Whether this runs in a kernel, whose output can hold a page."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def _images(xrays: XRays) -> list[tuple[Path | None, Tensor]]:
    """Each X-ray with its file, as line integrals (1, 1, height, width)."""
    several = [xrays] if isinstance(xrays, Tensor | str | os.PathLike) else list(xrays)
    found: list[tuple[Path | None, Tensor]] = []
    for one in several:
        if isinstance(one, Tensor):
            if one.dim() not in (2, 4) or (one.dim() == 4 and one.shape[1] != 1) or not one.is_floating_point():
                raise InputError(
                    f"Expected X-rays (view, 1, height, width) of floats. Got {one.dtype}, {list(one.shape)}."
                )
            if not one.isfinite().all():
                raise InputError("Expected finite X-rays. Got NaN or infinity.")
            image = one.detach().to("cpu", torch.float32)
            found += [(None, part.reshape(1, 1, *image.shape[-2:])) for part in image.reshape(-1, *image.shape[-2:])]
        elif isinstance(one, str | os.PathLike):
            found.append((Path(one).expanduser(), line_integrals(read_xray(one))[None, None].float()))
        else:
            raise TypeError(f"Expected X-rays as tensors or files. Got {type(one).__name__}.")
    if not found:
        raise InputError("Expected at least one X-ray to open. Got none.")
    return found


def _views(views: Any, drr: DRR | None, images: Sequence[tuple[Path | None, Tensor]]) -> list[View]:
    if views is None:
        return [_view_of_header(file) for file, _ in images]
    if isinstance(views, RigidTransform):
        if drr is None:
            raise InputError("Expected the CT as a DRR with the X-rays' detector, where views are poses. Got none.")
        found = [View.of(drr, RigidTransform(matrix[None])) for matrix in views.matrix.detach().cpu()]
    elif isinstance(views, str | os.PathLike):
        found = list(read_poses(views))
    else:
        found = [views] if isinstance(views, View) else list(views)
    if wrong := [type(view).__name__ for view in found if not isinstance(view, View)]:
        raise TypeError(f"Expected views as raygrad.formats.View, or poses. Got {', '.join(wrong)}.")
    if len(found) != len(images):
        raise InputError(f"Expected a view for each of {len(images)} X-ray(s). Got {len(found)}.")
    return found


def _view_of_header(file: Path | None) -> View:
    header = _header_of(file)
    if header is None or not header.has_view:
        of = "an image" if file is None else f"'{file}', whose header does not say it"
        raise InputError(f"Expected views: from where and with what the X-rays were taken. Got none of {of}.")
    return header.view(None if file is None else file.name)


def _header_of(file: Path | None) -> XRayGeometry | None:
    return read_xray_geometry(file) if file is not None and is_dicom(file) else None


def _subject(ct: Any, labelmap: Any, views: Sequence[View]) -> Subject:
    if isinstance(ct, Subject | DRR):
        if labelmap is not None:
            raise InputError(
                "Expected labelmap only with a CT that is a file. Got one with a Subject, which has its own."
            )
        return ct.subject if isinstance(ct, DRR) else ct
    return read(ct, labelmap=labelmap, orientation=views[0].orientation, remove_table=True)


def _name_of(file: Path | None, number: int) -> str:
    return f"X-ray {number}" if file is None else file.name
