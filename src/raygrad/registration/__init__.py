"""Registration: the pose that an X-ray was taken from."""

from raygrad._progress import Iteration as Iteration
from raygrad._progress import Status as Status
from raygrad.geometry import UnknownGeometry as UnknownGeometry
from raygrad.registration._balls.calibrate import BallCalibration as BallCalibration
from raygrad.registration._balls.calibrate import calibrate_from_balls as calibrate_from_balls
from raygrad.registration._displacements import Displacement as Displacement
from raygrad.registration._displacements import displacements as displacements
from raygrad.registration._doubts.told import Advice as Advice
from raygrad.registration._doubts.told import Rival as Rival
from raygrad.registration._doubts.told import Trial as Trial
from raygrad.registration._exposure import EstimatedExposure as EstimatedExposure
from raygrad.registration._inputs import prepare_xrays as prepare_xrays
from raygrad.registration._inputs import to_line_integrals as to_line_integrals
from raygrad.registration._inspection import RegistrationWarning as RegistrationWarning
from raygrad.registration._method import Method as Method
from raygrad.registration._methods.adam import Adam as Adam
from raygrad.registration._methods.gradient_ascent import GradientAscent as GradientAscent
from raygrad.registration._methods.levenberg_marquardt import LevenbergMarquardt as LevenbergMarquardt
from raygrad.registration._methods.quasi_newton import QuasiNewton as QuasiNewton
from raygrad.registration._methods.registry import METHODS as METHODS
from raygrad.registration._module import Registration as Registration
from raygrad.registration._polarity import Polarity as Polarity
from raygrad.registration._polarity import polarity as polarity
from raygrad.registration._prepared import PreparedXRay as PreparedXRay
from raygrad.registration._problem.similarity import FeatureSimilarity as FeatureSimilarity
from raygrad.registration._problem.similarity import GlobalCorrelation as GlobalCorrelation
from raygrad.registration._problem.similarity import GradientCorrelation as GradientCorrelation
from raygrad.registration._problem.similarity import LocalCorrelation as LocalCorrelation
from raygrad.registration._problem.similarity import Similarity as Similarity
from raygrad.registration._problem.similarity import WeightedSum as WeightedSum
from raygrad.registration._refiner import Refiner as Refiner
from raygrad.registration._register import register as register
from raygrad.registration._result import AXES as AXES
from raygrad.registration._result import BodyResult as BodyResult
from raygrad.registration._result import BodyStatus as BodyStatus
from raygrad.registration._result import CTSeen as CTSeen
from raygrad.registration._result import Halves as Halves
from raygrad.registration._result import RegistrationResult as RegistrationResult
from raygrad.registration._result import Uncertainty as Uncertainty
from raygrad.registration._schedule import Stage as Stage
from raygrad.registration._schedule import default_schedule as default_schedule
from raygrad.registration._schedule import few_steps as few_steps
from raygrad.registration._schedule import search_schedule as search_schedule
from raygrad.registration._search import search as search
from raygrad.registration._solver.candidates import SearchRanges as SearchRanges
from raygrad.registration._task import Task as Task
from raygrad.registration._track import Track as Track
from raygrad.registration._track import track as track
from raygrad.registration._view_ranges import ViewRanges as ViewRanges
from raygrad.registration._what_to_do import WHAT_TO_DO as WHAT_TO_DO

__all__ = [
    "register",
    "search",
    "SearchRanges",
    "ViewRanges",
    "RegistrationResult",
    "BodyResult",
    "BodyStatus",
    "Status",
    "WHAT_TO_DO",
    "Iteration",
    "Uncertainty",
    "EstimatedExposure",
    "Halves",
    "CTSeen",
    "Rival",
    "Advice",
    "Trial",
    "AXES",
    "Displacement",
    "displacements",
    "to_line_integrals",
    "polarity",
    "Polarity",
    "RegistrationWarning",
    "METHODS",
    "LevenbergMarquardt",
    "Adam",
    "QuasiNewton",
    "GradientAscent",
    "Method",
    "Task",
    "PreparedXRay",
    "prepare_xrays",
    "Stage",
    "default_schedule",
    "search_schedule",
    "Similarity",
    "GlobalCorrelation",
    "LocalCorrelation",
    "GradientCorrelation",
    "FeatureSimilarity",
    "WeightedSum",
    "UnknownGeometry",
    "Refiner",
    "few_steps",
    "Track",
    "track",
    "calibrate_from_balls",
    "BallCalibration",
    "Registration",
]

# Lent to other rooms; not for users.
from raygrad.registration._agreement import APART_MM as APART_MM
from raygrad.registration._problem.comparison import ByFeatures as ByFeatures
