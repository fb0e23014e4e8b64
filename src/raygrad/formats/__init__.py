"""The files that geometry, poses and X-rays come in and go out by."""

from raygrad.formats._beside import beside as beside
from raygrad.formats._geometry import Frames as Frames
from raygrad.formats._geometry import intrinsics_of as intrinsics_of
from raygrad.formats._geometry import read_geometry as read_geometry
from raygrad.formats._geometry import write_geometry as write_geometry
from raygrad.formats._images import check_output as check_output
from raygrad.formats._images import save_image as save_image
from raygrad.formats._pose_json import Intrinsics as Intrinsics
from raygrad.formats._pose_json import View as View
from raygrad.formats._pose_json import read_pose as read_pose
from raygrad.formats._pose_json import write_pose as write_pose
from raygrad.formats._projection_matrices import is_matrix_file as is_matrix_file
from raygrad.formats._stacks import Stack as Stack
from raygrad.formats._stacks import read_stack as read_stack
from raygrad.formats._stacks import write_stack as write_stack
from raygrad.formats._xrays import XRay as XRay
from raygrad.formats._xrays import as_line_integrals as as_line_integrals
from raygrad.formats._xrays import read_mask as read_mask
from raygrad.formats._xrays import read_xray as read_xray
