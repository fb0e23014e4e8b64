"""Which X-rays were taken together, so that nothing moved between them: planes of a biplane pair, frames of a file."""

from typing import Any

from raygrad.formats._dicom_geometry.header import Header

_OTHER_PLANE = "121314"  # PS3.16, CID 7201 and 7004: the other image of a biplane pair


def plane_of(header: Header) -> str | None:
    """Which plane of a biplane system: PlaneIdentification, or ImageType's third word (PS3.3, C.8.7.1.1.1)."""
    said = header.elements.get("ImageType")
    words = [str(word).upper() for word in said] if said and not isinstance(said, str) else []
    for keyword, word in (("PlaneIdentification", header.text("PlaneIdentification")), ("ImageType", " ".join(words))):
        for plane in ("A", "B"):
            if word in (f"PLANE {plane}", f"PLANE_{plane}") or f"BIPLANE {plane}" in word:
                header.found("biplane system's plane", plane, "", keyword, note="both planes share the isocentre")
                return plane
    return None


def acquisition_of(header: Header, plane: str | None) -> str:
    """A name that frames of a file share, and both files of a biplane pair, of which each refers to the other."""
    own = header.text("SOPInstanceUID")
    if plane is None or not own:
        return own
    for keyword in ("ReferencedOtherPlaneSequence", "ReferencedImageSequence"):
        items = list(header.elements.get(keyword) or ())
        marked = [item for item in items if _purpose(item) == _OTHER_PLANE]
        (item,) = (marked or items) if len(marked or items) == 1 else (None,)
        other = "" if item is None else str(item.get("ReferencedSOPInstanceUID") or "")
        if other:
            header.found("other plane's image", other, "", keyword, note="taken at the same time")
            return "/".join(sorted((own, other)))
    return own


def _purpose(item: Any) -> str:
    codes = item.get("PurposeOfReferenceCodeSequence") or ()
    return str(codes[0].get("CodeValue") or "") if codes else ""
