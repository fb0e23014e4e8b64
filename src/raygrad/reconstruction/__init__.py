"""Volumes from X-ray images."""

from raygrad.reconstruction.adam import adam as adam
from raygrad.reconstruction.calibration import Calibration as Calibration
from raygrad.reconstruction.calibration import Round as Round
from raygrad.reconstruction.calibration import calibrate as calibrate
from raygrad.reconstruction.cgls import cgls as cgls
from raygrad.reconstruction.constraints import Constraint as Constraint
from raygrad.reconstruction.fdk import fdk as fdk
from raygrad.reconstruction.iterate import iterate as iterate
from raygrad.reconstruction.os_sart import os_sart as os_sart
from raygrad.reconstruction.osem import osem as osem
from raygrad.reconstruction.reconstruct import reconstruct as reconstruct
from raygrad.reconstruction.result import Iteration as Iteration
from raygrad.reconstruction.result import ReconstructionResult as ReconstructionResult
from raygrad.reconstruction.result import Status as Status
from raygrad.reconstruction.sirt import sirt as sirt
from raygrad.reconstruction.solver import Solver as Solver
from raygrad.reconstruction.solver import Step as Step
from raygrad.reconstruction.total_variation import total_variation as total_variation
from raygrad.reconstruction.tv import tv as tv
