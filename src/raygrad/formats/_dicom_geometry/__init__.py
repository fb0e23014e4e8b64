"""Where and with what an X-ray was taken, from its DICOM header: `read_xray_geometry`.

`header` reads numbers and keeps account of them, `camera` turns directions and a detector into pose and intrinsics, and
a file each knows a family of SOP classes: `angiography` (XA, RF and their enhanced forms), `radiotherapy` and
`enhanced_radiotherapy` (RT Image), `radiography` (DX, CR and whatever else has a view position). `table` and `patient`
know how these lie.
"""

from raygrad.formats._dicom_geometry.geometry import HeaderNumber as HeaderNumber
from raygrad.formats._dicom_geometry.geometry import XRayGeometry as XRayGeometry
from raygrad.formats._dicom_geometry.header import XRAY_VENDORS as XRAY_VENDORS
from raygrad.formats._dicom_geometry.read import read_xray_geometry as read_xray_geometry
