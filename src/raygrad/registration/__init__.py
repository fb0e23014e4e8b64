"""Registration: the pose that an X-ray was taken from."""

from raygrad.registration.calibration import Calibration as Calibration
from raygrad.registration.candidates import SearchRanges as SearchRanges
from raygrad.registration.inspection import RegistrationWarning as RegistrationWarning
from raygrad.registration.module import Registration as Registration
from raygrad.registration.register import register as register
from raygrad.registration.result import Iteration as Iteration
from raygrad.registration.result import RegistrationResult as RegistrationResult
from raygrad.registration.result import Status as Status
from raygrad.registration.result import Uncertainty as Uncertainty
from raygrad.registration.schedule import Stage as Stage
from raygrad.registration.schedule import default_schedule as default_schedule
from raygrad.registration.search import search as search
from raygrad.registration.similarity import GlobalCorrelation as GlobalCorrelation
from raygrad.registration.similarity import GradientCorrelation as GradientCorrelation
from raygrad.registration.similarity import LocalCorrelation as LocalCorrelation
from raygrad.registration.similarity import WeightedSum as WeightedSum
from raygrad.registration.views import to_line_integrals as to_line_integrals
