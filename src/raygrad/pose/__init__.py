"""Poses of the X-ray camera: rigid transforms in SE(3) and their parameterizations.

Conventions. A pose is camera_to_world: a 4 x 4 matrix [[R, t], [0, 1]] that acts on column vectors, lengths in
millimetres, angles in radians unless `degrees=True` is said. Every parameterization but a whole matrix and
se3_log_map is a pair (rotation, xyz) that puts the camera's centre at t = R @ xyz: first move along the camera's own
axes, then turn about the isocentre.
"""

from raygrad.pose._euler import euler_angles_to_matrix as euler_angles_to_matrix
from raygrad.pose._euler import matrix_to_euler_angles as matrix_to_euler_angles
from raygrad.pose._exponential import se3_exp_map as se3_exp_map
from raygrad.pose._exponential import se3_log_map as se3_log_map
from raygrad.pose._exponential import so3_exp_map as so3_exp_map
from raygrad.pose._exponential import so3_log_map as so3_log_map
from raygrad.pose._orientation import make_reorient as make_reorient
from raygrad.pose._parameterizations import PARAMETERIZATIONS as PARAMETERIZATIONS
from raygrad.pose._parameterizations import Parameterization as Parameterization
from raygrad.pose._parameterizations import find_parameterization as find_parameterization
from raygrad.pose._rotations import matrix_to_quaternion as matrix_to_quaternion
from raygrad.pose._rotations import matrix_to_rotation_6d as matrix_to_rotation_6d
from raygrad.pose._rotations import matrix_to_rotation_9d as matrix_to_rotation_9d
from raygrad.pose._rotations import quaternion_adjugate_to_quaternion as quaternion_adjugate_to_quaternion
from raygrad.pose._rotations import quaternion_to_matrix as quaternion_to_matrix
from raygrad.pose._rotations import quaternion_to_quaternion_adjugate as quaternion_to_quaternion_adjugate
from raygrad.pose._rotations import quaternion_to_rotation_10d as quaternion_to_rotation_10d
from raygrad.pose._rotations import rotation_6d_to_matrix as rotation_6d_to_matrix
from raygrad.pose._rotations import rotation_9d_to_matrix as rotation_9d_to_matrix
from raygrad.pose._rotations import rotation_10d_to_quaternion as rotation_10d_to_quaternion
from raygrad.pose._transform import AffineTransform as AffineTransform
from raygrad.pose._transform import RigidTransform as RigidTransform
from raygrad.pose._transform import convert as convert
from raygrad.pose._transform import make_matrix as make_matrix
from raygrad.pose._transform import random_rigid_transform as random_rigid_transform

__all__ = [
    "RigidTransform",
    "convert",
    "random_rigid_transform",
    "AffineTransform",
    "make_matrix",
    "make_reorient",
    "PARAMETERIZATIONS",
    "Parameterization",
    "find_parameterization",
    "euler_angles_to_matrix",
    "matrix_to_euler_angles",
    "so3_exp_map",
    "so3_log_map",
    "se3_exp_map",
    "se3_log_map",
    "quaternion_to_matrix",
    "matrix_to_quaternion",
    "quaternion_to_quaternion_adjugate",
    "quaternion_adjugate_to_quaternion",
    "quaternion_to_rotation_10d",
    "rotation_10d_to_quaternion",
    "rotation_6d_to_matrix",
    "matrix_to_rotation_6d",
    "rotation_9d_to_matrix",
    "matrix_to_rotation_9d",
]

# Lent to other rooms; not for users.
from raygrad.pose._parameterizations import check_batches as check_batches
