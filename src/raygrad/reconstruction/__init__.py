"""Volumes from X-ray images."""

from raygrad._errors import Interrupted as Interrupted
from raygrad._progress import Iteration as Iteration
from raygrad._progress import Status as Status
from raygrad.geometry import UnknownGeometry as UnknownGeometry
from raygrad.reconstruction._calibration.calibrate import Calibration as Calibration
from raygrad.reconstruction._calibration.calibrate import calibrate as calibrate
from raygrad.reconstruction._checkpoint import Resumption as Resumption
from raygrad.reconstruction._constraints import Constraint as Constraint
from raygrad.reconstruction._estimate import Estimate as Estimate
from raygrad.reconstruction._estimate import estimate as estimate
from raygrad.reconstruction._iterate import Control as Control
from raygrad.reconstruction._iterate import iterate as iterate
from raygrad.reconstruction._iterative_method import IterativeMethod as IterativeMethod
from raygrad.reconstruction._method import Held as Held
from raygrad.reconstruction._method import Method as Method
from raygrad.reconstruction._methods.adam import Adam as Adam
from raygrad.reconstruction._methods.cgls import Cgls as Cgls
from raygrad.reconstruction._methods.fdk import Fdk as Fdk
from raygrad.reconstruction._methods.os_sart import OsSart as OsSart
from raygrad.reconstruction._methods.osem import Osem as Osem
from raygrad.reconstruction._methods.registry import METHODS as METHODS
from raygrad.reconstruction._methods.sirt import Sirt as Sirt
from raygrad.reconstruction._methods.total_variation import total_variation as total_variation
from raygrad.reconstruction._methods.tv import TotalVariation as TotalVariation
from raygrad.reconstruction._polychromatic.correction import BeamHardeningResult as BeamHardeningResult
from raygrad.reconstruction._polychromatic.correction import correct_beam_hardening as correct_beam_hardening
from raygrad.reconstruction._polychromatic.method import Polychromatic as Polychromatic
from raygrad.reconstruction._polychromatic.model import PolychromaticProjector as PolychromaticProjector
from raygrad.reconstruction._reconstruct import reconstruct as reconstruct
from raygrad.reconstruction._result import ReconstructionResult as ReconstructionResult
from raygrad.reconstruction._result import ReconstructionWarning as ReconstructionWarning
from raygrad.reconstruction._solver import Solver as Solver
from raygrad.reconstruction._solver import Step as Step

__all__ = [
    "reconstruct",
    "ReconstructionResult",
    "ReconstructionWarning",
    "Interrupted",
    "Status",
    "Iteration",
    "METHODS",
    "Fdk",
    "Sirt",
    "OsSart",
    "Cgls",
    "Osem",
    "TotalVariation",
    "Adam",
    "total_variation",
    "Polychromatic",
    "PolychromaticProjector",
    "correct_beam_hardening",
    "BeamHardeningResult",
    "calibrate",
    "Calibration",
    "UnknownGeometry",
    "estimate",
    "Estimate",
    "Method",
    "IterativeMethod",
    "Held",
    "Solver",
    "Step",
    "Constraint",
    "iterate",
    "Control",
    "Resumption",
]
