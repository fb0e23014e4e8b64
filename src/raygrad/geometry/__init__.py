"""Where rays run: detectors, views, trajectories, and the grids of voxels that they cross."""

from raygrad.geometry import trajectories as trajectories
from raygrad.geometry._cone_vectors import cone_vectors_of as cone_vectors_of
from raygrad.geometry._cone_vectors import views_of_cone_vectors as views_of_cone_vectors
from raygrad.geometry._cone_vectors import views_of_corners as views_of_corners
from raygrad.geometry._cone_vectors import views_of_frames as views_of_frames
from raygrad.geometry._detector import Detector as Detector
from raygrad.geometry._detector import get_focal_length as get_focal_length
from raygrad.geometry._detector import get_principal_point as get_principal_point
from raygrad.geometry._detector import make_intrinsic_matrix as make_intrinsic_matrix
from raygrad.geometry._detector import parse_intrinsic_matrix as parse_intrinsic_matrix
from raygrad.geometry._field_of_view import blind_views as blind_views
from raygrad.geometry._field_of_view import choose_grid as choose_grid
from raygrad.geometry._grid import VolumeGeometry as VolumeGeometry
from raygrad.geometry._intrinsics import Intrinsics as Intrinsics
from raygrad.geometry._unknowns import UnknownGeometry as UnknownGeometry
from raygrad.geometry._view_names import name_view as name_view
from raygrad.geometry._views import Cameras as Cameras
from raygrad.geometry._views import ConeViews as ConeViews
from raygrad.geometry._views import ParallelViews as ParallelViews
from raygrad.geometry._views import RayViews as RayViews
from raygrad.geometry._views import Views as Views

__all__ = [
    "Views",
    "ConeViews",
    "ParallelViews",
    "RayViews",
    "trajectories",
    "Detector",
    "Intrinsics",
    "VolumeGeometry",
    "UnknownGeometry",
    "Cameras",
    "choose_grid",
    "blind_views",
    "views_of_corners",
    "views_of_frames",
    "views_of_cone_vectors",
    "cone_vectors_of",
    "get_focal_length",
    "get_principal_point",
    "make_intrinsic_matrix",
    "parse_intrinsic_matrix",
    "name_view",
]

# Lent to other rooms; not for users.
from raygrad.geometry._detector import Length as Length
from raygrad.geometry._motions import about as about
from raygrad.geometry._motions import motion_derivatives as motion_derivatives
from raygrad.geometry._motions import turned as turned
from raygrad.geometry._scan_axis import USE_ANOTHER as USE_ANOTHER
from raygrad.geometry._scan_axis import Rotation as Rotation
from raygrad.geometry._scan_axis import find_rotation as find_rotation
from raygrad.geometry._scan_axis import pixel_to_ray as pixel_to_ray
from raygrad.geometry._scan_axis import positions as positions
from raygrad.geometry._unknowns import INTRINSICS as INTRINSICS
from raygrad.geometry._unknowns import adjusted as adjusted
from raygrad.geometry._unknowns import directions as directions
from raygrad.geometry._view_names import positioner_angles as positioner_angles
from raygrad.geometry._views import Indices as Indices
from raygrad.geometry._views import check_cone as check_cone
from raygrad.geometry._views import views_from as views_from
