"""What a session can be written as: every kind of file that `raygrad export` writes, and pictures."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from raygrad import _export_kinds as kinds
from raygrad._cockpit._mistakes import said_of_mistake
from raygrad._errors import InputError
from raygrad.formats import Source, View, prepare_export, write_image
from raygrad.types import Images
from raygrad.visualization import save_comparison

if TYPE_CHECKING:
    from raygrad._cockpit._session import Session

PICTURES = {
    "overlay": "X-ray in orange, DRR in azure",
    "checkerboard": "X-ray and DRR in tiles",
    "difference": "X-ray minus DRR",
    "xray": "X-ray, 16-bit grey levels",
    "drr": "DRR, 16-bit grey levels",
}
"""What pictures there are of a view."""


def views_of(session: "Session", chosen: Sequence[int]) -> tuple[View, ...]:
    """Views as they are now, as files of poses have them."""
    placement = session.placement
    return tuple(
        replace(
            session.xrays[view].view,
            pose=placement.pose(view),
            intrinsics=placement.intrinsics[view].detached(),
            xray=session.xrays[view].name,
        )
        for view in chosen
    )


def listed_kinds(session: "Session", view: int | None) -> list[dict[str, Any]]:
    """Every kind, and why it cannot be had now: by making all of it but the last step."""
    return [
        {
            "kind": kind.typed,
            "name": kind.name,
            "suffixes": list(kind.suffixes),
            "needs": list(kind.needs),
            "one_view": kind.one_view,
            "reason": _reason(session, kind, view),
        }
        for kind in kinds.KINDS
    ]


def write_export(session: "Session", kind: str, view: int | None, path: Path) -> str:
    """Write one; what is in it, in words.

    Raises:
        InputError: there is no such kind, or it cannot be had now.
    """
    ((_, chosen),) = kinds.choose([str(path)], kind)
    with tempfile.TemporaryDirectory(prefix="raygrad-cockpit-") as folder:
        return str(_prepared(session, chosen, view, path, Path(folder))())


def write_picture(session: "Session", view: int, what: str, path: Path) -> None:
    """Write a picture of a view, of as many pixels as the X-ray has.

    Raises:
        InputError: there is no such picture.
    """
    if what not in PICTURES:
        raise InputError(f"Expected a picture among {', '.join(PICTURES)}. Got {what!r}.")
    xray = session.xrays[view]
    if what == "xray":
        write_image(path, xray.image[0, 0], _spacing(session, view), bits=16)
        return
    drr = _drr(session, view)
    if what == "drr":
        write_image(path, drr[0, 0], _spacing(session, view), bits=16)
    else:
        save_comparison(path, xray.image, drr, what, xray.mask)


def _reason(session: "Session", kind: kinds.Kind, view: int | None) -> str | None:
    if kind is kinds.SCENE and session.n_views:
        return None  # its checks read all X-rays, which are open already
    with tempfile.TemporaryDirectory(prefix="raygrad-cockpit-") as folder:
        path = Path(folder) / f"export{kind.suffixes[0]}"
        try:
            write = _prepared(session, kind, view, path, Path(folder), draft=True)
            if kind.geometry:
                write()
        except Exception as error:
            return said_of_mistake(error).replace(f"'{path}'", "It").replace(str(path), "it")
    return None


def _prepared(
    session: "Session", kind: kinds.Kind, view: int | None, path: Path, folder: Path, draft: bool = False
) -> Callable[[], str]:
    """Check a kind; what is returned writes it. The folder holds what is made on the way, of a draft roughly."""
    if not session.n_views:
        raise InputError("There is no X-ray whose pose could be written.")
    chosen = list(range(session.n_views)) if view is None else [view]
    if kind.one_view and len(chosen) > 1:
        raise InputError(f"It has one view: choose which of {len(chosen)}.")
    xrays = [session.xrays[number] for number in chosen]
    files = [xray.path for xray in xrays if xray.path is not None]
    overlay = None
    if kind is kinds.OVERLAY:
        overlay = folder / "overlay.png"
        _write_overlays(session, chosen, overlay, draft)
    ct = session.files.opened.ct
    if "ct" in kind.needs and kind is not kinds.SCENE and not Path(ct).exists():
        raise InputError("It refers to the CT's DICOM series; this CT is not one.")
    source = Source(
        views_of(session, chosen),
        session.name,
        session.subject.file_to_world,
        ct if ct and Path(ct).exists() else None,
        session.files.opened.series_uid,
        lambda: session.subject,
        files if len(files) == len(chosen) else (),
        [xray.image[0, 0] for xray in xrays],
        session.placement.outcome(),
        overlay,
    )
    return prepare_export(path, kind, source)


def _spacing(session: "Session", view: int) -> tuple[float, float]:
    intrinsics = session.placement.intrinsics[view]
    return float(intrinsics.delx), float(intrinsics.dely)


def _drr(session: "Session", view: int) -> Images:
    return session.pictures.image(session.placement, view, None)


def _write_overlays(session: "Session", views: Sequence[int], path: Path, draft: bool) -> None:
    """One picture of all views beside each other, as high as the highest."""
    pairs = []
    for view in views:
        xray = session.xrays[view]
        drr = session.pictures.image(session.placement, view, 64) if draft else _drr(session, view)
        fixed = torch.nn.functional.interpolate(xray.image, size=tuple(drr.shape[-2:]), mode="area")
        pairs.append((fixed, drr))
    save_comparison(path, [fixed for fixed, _ in pairs], [drr for _, drr in pairs], "overlay")
