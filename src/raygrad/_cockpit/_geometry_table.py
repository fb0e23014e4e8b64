"""With what each X-ray was taken: what is used, where that is from, and all that its header says."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from raygrad._cockpit._xray import OpenXRay
from raygrad._errors import InputError
from raygrad.formats import HEADER_COLUMNS, XRayGeometry, read_xray_geometry, table_of_header

if TYPE_CHECKING:
    from raygrad._cockpit._session import Session

LENGTHS = {
    "sdd": ("Source to detector", "mm"),
    "delx": ("Pixel width", "mm"),
    "dely": ("Pixel height", "mm"),
    "x0": ("Detector's centre, x0", "mm"),
    "y0": ("Detector's centre, y0", "mm"),
}
LONGEST_MM = 1e5
"""No X-ray system of the cockpit's is longer."""


def described_geometry(session: "Session", view: int) -> dict[str, Any]:
    """What the page shows of a view: the numbers that are used, and the header's table."""
    xray, used = session.xrays[view], session.placement.intrinsics[view].detached()
    begun, header = session.start.intrinsics[view].detached(), header_of(xray)
    rows = []
    for name, (label, unit) in LENGTHS.items():
        value = float(getattr(used, name))
        origin = "typed or found here" if value != float(getattr(begun, name)) else _origin(session, view, name)
        rows.append({"name": name, "label": label, "unit": unit, "value": round(value, 6), "origin": origin})
    return {
        "name": xray.name,
        "size": [used.width, used.height],
        "used": rows,
        "mirrored": not used.reverse_x_axis,
        "parallel": used.parallel,
        "taken_for": xray.taken_for,
        "hidden": xray.hidden,
        "columns": list(HEADER_COLUMNS),
        "header": [] if header is None else [list(row) for row in table_of_header(header)],
        "warnings": [] if header is None else list(header.warnings),
    }


def header_of(xray: OpenXRay) -> XRayGeometry | None:
    """What the header says, whether or not the X-ray began from there; None if it has none that says something."""
    if xray.header is not None or xray.path is None:
        return xray.header
    try:
        return read_xray_geometry(xray.path, xray.frame if isinstance(xray.frame, int) else None)
    except (InputError, OSError):
        return None


def set_geometry(session: "Session", view: int, values: dict[str, Any]) -> None:
    """Take other numbers for a view: a step that can be undone.

    Args:
        session: the session.
        view: of which.
        values: by the names of `LENGTHS`, in mm, and "mirrored": whether column 0 is at -x.

    Raises:
        InputError: what no X-ray system can be.
    """
    if unknown := values.keys() - {*LENGTHS, "mirrored"}:
        raise InputError(f"Expected {', '.join(LENGTHS)} or mirrored. Got {', '.join(sorted(unknown))}.")
    changed: dict[str, Any] = {}
    for name, value in values.items():
        if name == "mirrored":
            if not isinstance(value, bool):
                raise InputError(f"Expected mirrored as true or false. Got {value!r}.")
            changed["reverse_x_axis"] = not value
            continue
        label = LENGTHS[name][0]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not abs(value) <= LONGEST_MM:
            raise InputError(f"{label}: expected a number of mm up to {LONGEST_MM:g}. Got {value!r}.")
        if name in ("sdd", "delx", "dely") and not value > 0:
            raise InputError(f"{label}: expected a positive number of mm. Got {value:g}.")
        changed[name] = float(value)
    before = session.placement
    source = session.placement.camera_to_world(view, session.subject.orientation).inverse()
    depth = source(session.centre()[None, None])[0, 0, 2].item()
    if "sdd" in changed and not before.intrinsics[view].parallel and not changed["sdd"] > depth / 2:
        raise InputError(
            f"{LENGTHS['sdd'][0]}: {changed['sdd']:g} mm would leave the detector in front of the patient, whose "
            f"middle is {depth:.0f} mm from the source."
        )
    intrinsics = list(before.intrinsics)
    intrinsics[view] = intrinsics[view].detached().replaced(**changed)
    if intrinsics[view] == before.intrinsics[view]:
        return
    session.place(replace(before, intrinsics=tuple(intrinsics)), view)
    session.history.record(f"Geometry of {session.xrays[view].name}", before)


def _origin(session: "Session", view: int, name: str) -> str:
    """Where a number is from that nobody changed here."""
    header = header_of(session.xrays[view])
    if header is None:
        return "as it was opened"
    said = {"sdd": header.has_sdd, "delx": header.has_pixel_size, "dely": header.has_pixel_size}
    own = float(getattr(header.intrinsics, name))
    if abs(own - float(getattr(session.placement.intrinsics[view], name))) > 1e-6 * max(1.0, abs(own)):
        return "as it was opened"
    return "header" if said.get(name, True) else "assumed: the header does not say it"
