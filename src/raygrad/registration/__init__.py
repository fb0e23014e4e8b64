"""Registration: the pose that an X-ray was taken from."""

from raygrad.geometry import Calibration as Calibration
from raygrad.registration._inputs import to_line_integrals as to_line_integrals
from raygrad.registration._inspection import RegistrationWarning as RegistrationWarning
from raygrad.registration._module import Registration as Registration
from raygrad.registration._problem.pyramid import shrink_detector as shrink_detector
from raygrad.registration._problem.similarity import GlobalCorrelation as GlobalCorrelation
from raygrad.registration._problem.similarity import GradientCorrelation as GradientCorrelation
from raygrad.registration._problem.similarity import LocalCorrelation as LocalCorrelation
from raygrad.registration._problem.similarity import WeightedSum as WeightedSum
from raygrad.registration._register import register as register
from raygrad.registration._result import AXES as AXES
from raygrad.registration._result import Iteration as Iteration
from raygrad.registration._result import RegistrationResult as RegistrationResult
from raygrad.registration._result import Status as Status
from raygrad.registration._result import Uncertainty as Uncertainty
from raygrad.registration._schedule import Stage as Stage
from raygrad.registration._schedule import default_schedule as default_schedule
from raygrad.registration._search import search as search
from raygrad.registration._solver.candidates import SearchRanges as SearchRanges
