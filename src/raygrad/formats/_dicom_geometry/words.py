"""What an X-ray's header says of its geometry, as a table for people."""

from raygrad.formats._dicom_geometry.geometry import HeaderNumber, XRayGeometry

HEADER_COLUMNS = ("number", "value", "from", "sure to", "use", "note")
"""What each row has."""


def table_of_header(found: XRayGeometry) -> list[tuple[str, ...]]:
    """A row of `HEADER_COLUMNS` for everything that the header says, and for what was assumed or is not known."""
    return [_row(number) for number in found.provenance]


def _row(number: HeaderNumber) -> tuple[str, ...]:
    source = f"{number.keyword} {number.tag}".strip()
    use = number.source if number.source != "read" else "used" if number.used else "not used"
    sure = ""
    if number.deviation is not None:
        relative = number.name.startswith("pixel ")
        unit = "degrees" if not number.unit else number.unit
        sure = f"{100 * number.deviation:.3g} %" if relative else f"{number.deviation:.3g} {unit}"
    return number.name, f"{text_of(number.value)} {number.unit}".strip(), source, sure, use, number.note


def text_of(value: float | tuple[float, ...] | str | None) -> str:
    """A value of a header, with six digits."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    # Rounded, so that what is 0 but for the last digits is written as 0, and never as -0.
    parts = value if isinstance(value, tuple) else (value,)
    return ", ".join(f"{round(part, 6) + 0.0:.6g}" for part in parts)
