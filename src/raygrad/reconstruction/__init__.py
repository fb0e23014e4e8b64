"""Volumes from X-ray images."""

from raygrad._progress import Iteration as Iteration
from raygrad._progress import Status as Status
from raygrad.reconstruction._calibration.calibrate import Calibration as Calibration
from raygrad.reconstruction._calibration.calibrate import calibrate as calibrate
from raygrad.reconstruction._checks import check_images as check_images
from raygrad.reconstruction._constraints import Constraint as Constraint
from raygrad.reconstruction._estimate import default_iterations as default_iterations
from raygrad.reconstruction._estimate import estimate as estimate
from raygrad.reconstruction._iterate import iterate as iterate
from raygrad.reconstruction._methods.adam import adam as adam
from raygrad.reconstruction._methods.cgls import cgls as cgls
from raygrad.reconstruction._methods.fdk import fdk as fdk
from raygrad.reconstruction._methods.os_sart import os_sart as os_sart
from raygrad.reconstruction._methods.osem import osem as osem
from raygrad.reconstruction._methods.sirt import sirt as sirt
from raygrad.reconstruction._methods.total_variation import total_variation as total_variation
from raygrad.reconstruction._methods.tv import tv as tv
from raygrad.reconstruction._reconstruct import METHODS as METHODS
from raygrad.reconstruction._reconstruct import reconstruct as reconstruct
from raygrad.reconstruction._result import ReconstructionResult as ReconstructionResult
from raygrad.reconstruction._solver import Solver as Solver
from raygrad.reconstruction._solver import Step as Step
