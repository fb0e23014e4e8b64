"""How often, how closely and how fast registration finds the true pose, under conditions that anybody can rerun."""

from raygrad.evaluation._conditions import CONDITIONS as CONDITIONS
from raygrad.evaluation._conditions import Case as Case
from raygrad.evaluation._conditions import Condition as Condition
from raygrad.evaluation._conditions import Technique as Technique
from raygrad.evaluation._conditions import conditions_of as conditions_of
from raygrad.evaluation._conditions import make_case as make_case
from raygrad.evaluation._deviations import Ratios as Ratios
from raygrad.evaluation._deviations import measure_ratios as measure_ratios
from raygrad.evaluation._exposure import Exposure as Exposure
from raygrad.evaluation._exposure import count_photons as count_photons
from raygrad.evaluation._exposure import expose as expose
from raygrad.evaluation._plots import plot_capture_range as plot_capture_range
from raygrad.evaluation._plots import plot_cases as plot_cases
from raygrad.evaluation._plots import plot_deviations as plot_deviations
from raygrad.evaluation._report import list_failures as list_failures
from raygrad.evaluation._report import markdown as markdown
from raygrad.evaluation._report import read_rows as read_rows
from raygrad.evaluation._report import summarise as summarise
from raygrad.evaluation._report import wilson_interval as wilson_interval
from raygrad.evaluation._report import write_rows as write_rows
from raygrad.evaluation._run import METHODS as METHODS
from raygrad.evaluation._run import Outcome as Outcome
from raygrad.evaluation._run import Row as Row
from raygrad.evaluation._run import Start as Start
from raygrad.evaluation._run import evaluate as evaluate
from raygrad.evaluation._starts import VIEWS as VIEWS
from raygrad.evaluation._starts import measure_errors as measure_errors
from raygrad.evaluation._targets import draw_points as draw_points
from raygrad.evaluation._targets import select_labels as select_labels

__all__ = [
    "evaluate",
    "METHODS",
    "CONDITIONS",
    "VIEWS",
    "Case",
    "make_case",
    "Condition",
    "Technique",
    "conditions_of",
    "Start",
    "Row",
    "Outcome",
    "measure_errors",
    "measure_ratios",
    "Ratios",
    "draw_points",
    "select_labels",
    "expose",
    "Exposure",
    "count_photons",
    "write_rows",
    "read_rows",
    "summarise",
    "wilson_interval",
    "markdown",
    "list_failures",
    "plot_capture_range",
    "plot_cases",
    "plot_deviations",
]

# Lent to other rooms; not for users.
from raygrad.evaluation._starts import draw_motions as draw_motions
from raygrad.evaluation._starts import make_generator as make_generator
from raygrad.evaluation._starts import motion_about as motion_about
