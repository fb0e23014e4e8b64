"""The thread that draws a sweep: the chosen view, its DRR out of the newest volume, and that volume's slices."""

import threading
from typing import TYPE_CHECKING

import torch

from raygrad._cockpit._frame import Frame, grey_frame
from raygrad._cockpit._mistakes import said_of_mistake
from raygrad._cockpit._sweep_made import Made
from raygrad._cockpit._sweep_pictures import Compared, shown, slice_frames
from raygrad.geometry import ConeViews
from raygrad.projector import Projector

if TYPE_CHECKING:
    from raygrad._cockpit._sweep import SweepSession

COARSE = 200
"""The largest side of DRRs while views change."""
REST_S = 0.15


class SweepDrawing(threading.Thread):
    """Draws what was asked for last. What was asked for before that is forgotten, never queued.

    Attributes:
        reading: held while the newest volume is read; who writes to it without waiting leaves it out.
    """

    def __init__(self, session: "SweepSession") -> None:
        super().__init__(name="raygrad cockpit: sweep", daemon=True)
        self._session = session
        self.reading = threading.Lock()
        self._changed = threading.Condition()
        self._wanted = 1
        self._ended = False
        self._drawn_view = -1

    def ask(self) -> None:
        """Something changed."""
        with self._changed:
            self._wanted += 1
            self._changed.notify()

    def end(self) -> None:
        """Stop after the image that is being made."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def run(self) -> None:
        """Draw until the end."""
        drawn, fine = 0, True
        while True:
            with self._changed:
                if self._wanted == drawn and not self._ended:
                    self._changed.wait(None if fine else REST_S)
                if self._ended:
                    return
                if self._wanted == drawn and fine:
                    continue
                fine, drawn = self._wanted == drawn, self._wanted
            try:
                self._draw(fine)
            except Exception as error:
                self._session.tell({"type": "trouble", "about": "Drawing", "message": said_of_mistake(error)})

    def _draw(self, fine: bool) -> None:
        session = self._session
        with self.reading:
            view, made = session.chosen, session.made
            frames: list[Frame] = []
            if view != self._drawn_view:
                frames.append(grey_frame("view", shown(session.sweep.images[view]).numpy(), view=view))
                self._drawn_view = view
            if made is not None:
                if not fine:
                    frames += slice_frames(made.volume, made.grid, session.at, iteration=made.iteration)
                frames += _beside(session, made, view, fine)
        for frame in frames:
            session.show(frame)


def _beside(session: "SweepSession", made: Made, view: int, fine: bool) -> list[Frame]:
    """The DRR of a view and how far it is from what was measured."""
    coarse = None if fine else session.cameras[view].coarser(COARSE)
    rendered = project(made, session.sweep.views[[view]] if coarse is None else coarse)
    measured = session.sweep.images[view]
    if session.sweep.mask is not None:
        measured = measured * session.sweep.mask[view]
    if coarse is not None:
        measured = torch.nn.functional.interpolate(measured[None, None], size=tuple(rendered.shape), mode="area")[0, 0]
    elif session.sweep.mask is not None:
        rendered = rendered * session.sweep.mask[view]
    difference = shown(rendered - measured)
    most = max(float(difference.abs().max()), 1e-12)
    header = {"view": view, "unseen": view in made.unseen, "iteration": made.iteration}
    header |= Compared.of(rendered, measured).described()
    return [
        grey_frame("drr", shown(rendered).numpy(), **header),
        grey_frame("difference", difference.numpy(), **header, most=most),
    ]


def project(made: Made, views: ConeViews) -> torch.Tensor:
    """The volume as one view sees it."""
    projector = Projector(made.grid, views, made.renderer)
    with torch.no_grad():
        return projector(made.volume)[0]
