"""The files that geometry, poses and X-rays come in and go out by.

Which format a file is of is told by its suffix, and by its content where suffixes are shared or lie. A format is one
module, which adds itself to `GEOMETRIES` or to `IMAGES`: `IMAGES.add(ImageFormat(...))`.
"""

from raygrad._errors import InputError as InputError
from raygrad._hidden import Hidden as Hidden
from raygrad.formats._dicom_capture import write_secondary_capture as write_secondary_capture
from raygrad.formats._dicom_geometry import XRAY_VENDORS as XRAY_VENDORS
from raygrad.formats._dicom_geometry import HeaderNumber as HeaderNumber
from raygrad.formats._dicom_geometry import XRayGeometry as XRayGeometry
from raygrad.formats._dicom_geometry import read_xray_geometry as read_xray_geometry
from raygrad.formats._dicom_registration import write_spatial_registration as write_spatial_registration
from raygrad.formats._dicom_report import write_structured_report as write_structured_report
from raygrad.formats._dicom_write import write_xray as write_xray
from raygrad.formats._fiducials import Fiducials as Fiducials
from raygrad.formats._fiducials import read_fiducials as read_fiducials
from raygrad.formats._fiducials import write_fiducials as write_fiducials
from raygrad.formats._frames import FRAMES as FRAMES
from raygrad.formats._geometry import GEOMETRIES as GEOMETRIES
from raygrad.formats._geometry import Frames as Frames
from raygrad.formats._geometry import GeometryFormat as GeometryFormat
from raygrad.formats._geometry import has_centred_world as has_centred_world
from raygrad.formats._geometry import read_geometry as read_geometry
from raygrad.formats._geometry import write_geometry as write_geometry
from raygrad.formats._hidden import find_hidden as find_hidden
from raygrad.formats._images import IMAGES as IMAGES
from raygrad.formats._images import ImageFormat as ImageFormat
from raygrad.formats._images import Pixels as Pixels
from raygrad.formats._images import write_image as write_image
from raygrad.formats._itk_transforms import read_transform as read_transform
from raygrad.formats._itk_transforms import write_camera as write_camera
from raygrad.formats._itk_transforms import write_transform as write_transform
from raygrad.formats._line_integrals import VALUES as VALUES
from raygrad.formats._line_integrals import estimate_air as estimate_air
from raygrad.formats._nikon import read_xtekct as read_xtekct
from raygrad.formats._pose_json import read_body_poses as read_body_poses
from raygrad.formats._pose_json import read_file_to_world as read_file_to_world
from raygrad.formats._pose_json import read_outcome as read_outcome
from raygrad.formats._pose_json import read_poses as read_poses
from raygrad.formats._pose_json import write_poses as write_poses
from raygrad.formats._projection_matrices import views_of_matrices as views_of_matrices
from raygrad.formats._registry import Format as Format
from raygrad.formats._registry import Formats as Formats
from raygrad.formats._slicer_scene import write_scene as write_scene
from raygrad.formats._stacks import Stack as Stack
from raygrad.formats._stacks import read_stack as read_stack
from raygrad.formats._stacks import read_stack_mask as read_stack_mask
from raygrad.formats._stacks import write_stack as write_stack
from raygrad.formats._technique import Technique as Technique
from raygrad.formats._views import View as View
from raygrad.formats._views import join_views as join_views
from raygrad.formats._views import split_views as split_views
from raygrad.formats._xrays import XRay as XRay
from raygrad.formats._xrays import line_integrals as line_integrals
from raygrad.formats._xrays import read_mask as read_mask
from raygrad.formats._xrays import read_xray as read_xray
from raygrad.formats._xrays import read_xrays as read_xrays

__all__ = [
    "read_xray",
    "read_xrays",
    "FRAMES",
    "XRay",
    "VALUES",
    "line_integrals",
    "estimate_air",
    "read_mask",
    "find_hidden",
    "Hidden",
    "read_stack",
    "read_stack_mask",
    "write_stack",
    "Stack",
    "read_geometry",
    "write_geometry",
    "Frames",
    "has_centred_world",
    "read_xray_geometry",
    "XRayGeometry",
    "HeaderNumber",
    "XRAY_VENDORS",
    "read_poses",
    "write_poses",
    "read_file_to_world",
    "read_outcome",
    "read_body_poses",
    "View",
    "join_views",
    "split_views",
    "views_of_matrices",
    "read_xtekct",
    "read_fiducials",
    "write_fiducials",
    "Fiducials",
    "read_transform",
    "write_transform",
    "write_camera",
    "write_scene",
    "write_secondary_capture",
    "write_spatial_registration",
    "write_structured_report",
    "write_image",
    "write_xray",
    "Technique",
    "GEOMETRIES",
    "GeometryFormat",
    "IMAGES",
    "ImageFormat",
    "Pixels",
    "Format",
    "Formats",
    "InputError",
]

# Lent to other rooms; not for users.
from raygrad.formats._astra import ASTRA as ASTRA
from raygrad.formats._beside import beside as beside
from raygrad.formats._dicom_capture import check_capture as check_capture
from raygrad.formats._dicom_capture import read_colours as read_colours
from raygrad.formats._dicom_geometry.words import HEADER_COLUMNS as HEADER_COLUMNS
from raygrad.formats._dicom_geometry.words import table_of_header as table_of_header
from raygrad.formats._dicom_geometry.words import text_of as text_of
from raygrad.formats._dicom_registration import check_registration as check_registration
from raygrad.formats._dicom_report import check_report as check_report
from raygrad.formats._dicom_xray import DICOM as DICOM
from raygrad.formats._export import Source as Source
from raygrad.formats._export import prepare_export as prepare_export
from raygrad.formats._geometry import written_format as written_format
from raygrad.formats._images import check_image_path as check_image_path
from raygrad.formats._itk_images import META_IMAGE as META_IMAGE
from raygrad.formats._itk_images import NIFTI as NIFTI
from raygrad.formats._itk_images import NRRD as NRRD
from raygrad.formats._jointtrack import JOINTTRACK as JOINTTRACK
from raygrad.formats._leap import LEAP as LEAP
from raygrad.formats._line_integrals import choose_values as choose_values
from raygrad.formats._mayacam import MAYACAM as MAYACAM
from raygrad.formats._nikon import NIKON as NIKON
from raygrad.formats._numpy import NUMPY as NUMPY
from raygrad.formats._opencv import OPENCV as OPENCV
from raygrad.formats._png import PNG as PNG
from raygrad.formats._pose_json import POSE_JSON as POSE_JSON
from raygrad.formats._pose_json import content_of_poses as content_of_poses
from raygrad.formats._pose_json import read_content as read_content
from raygrad.formats._pose_json import write_content as write_content
from raygrad.formats._projection_matrices import PROJECTION_MATRICES as PROJECTION_MATRICES
from raygrad.formats._rtk import RTK as RTK
from raygrad.formats._slicer_scene import check_scene as check_scene
from raygrad.formats._stacks import check_stack_path as check_stack_path
from raygrad.formats._table import TABLE as TABLE
from raygrad.formats._text_matrices import TEXT_MATRICES as TEXT_MATRICES
from raygrad.formats._tiff import TIFF as TIFF
from raygrad.formats._tigre import TIGRE as TIGRE
