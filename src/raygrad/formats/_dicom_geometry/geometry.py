"""What is known of an X-ray's geometry: values, how sure each is, and where it came from."""

from dataclasses import dataclass

from raygrad.formats._views import View
from raygrad.geometry import Intrinsics, UnknownGeometry
from raygrad.pose import RigidTransform

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class HeaderNumber:
    """One thing that a header says, or should.

    Attributes:
        name: what it is.
        value: a number, several, a word, or None.
        unit: "mm", "degrees", "pixels", or "".
        keyword, tag: DICOM's name and number of it, such as "DistanceSourceToDetector" and "(0018,1110)"; "" where no
            element of the header says it.
        source: "read", "assumed" (the header does not say it, and geometry needs it) or "unknown".
        used: whether pose or intrinsics follow from it.
        deviation: standard deviation in the unit (relative for pixel sizes), None where there is none.
        note: what to know of it.
    """

    name: str
    value: float | tuple[float, ...] | str | None
    unit: str = ""
    keyword: str = ""
    tag: str = ""
    source: str = "read"
    used: bool = True
    deviation: float | None = None
    note: str = ""


@dataclass(frozen=True)
class XRayGeometry:
    """Where one X-ray was taken from and with what, as far as its header knows.

    Attributes:
        pose: as `raygrad.DRR` takes it; the origin is the centre of the CT.
        orientation: the view that the pose starts from, "AP".
        intrinsics: of the image as it is stored.
        pose_deg: standard deviations of the rotation about the world's x, y and z in degrees.
        pose_mm: of the translation along these in mm.
        unknowns: standard deviations of the intrinsics.
        has_view: the header says from which side the X-ray was taken: by angles or by a view position.
        has_sdd, has_pixel_size: the header says these; otherwise they are no more than usual ones.
        kind: "XA", "enhanced XA", "RT Image", "enhanced RT Image" or "radiograph".
        plane: of a biplane system: "A" or "B".
        provenance: where each number came from.
        warnings: what to look at before the geometry is relied on.
        acquisition: the same of X-rays between which nothing moved unknown: frames of a file, planes of a biplane pair.
    """

    pose: RigidTransform
    orientation: str
    intrinsics: Intrinsics
    pose_deg: Triple
    pose_mm: Triple
    unknowns: UnknownGeometry
    has_view: bool
    has_sdd: bool
    has_pixel_size: bool
    kind: str
    plane: str | None
    provenance: tuple[HeaderNumber, ...]
    warnings: tuple[str, ...]
    acquisition: str = ""

    def view(self, xray: str | None = None) -> View:
        """Pose and intrinsics as a view; `xray` names the image's file."""
        return View(self.pose, self.intrinsics, self.orientation, xray)
