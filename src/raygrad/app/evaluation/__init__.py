"""How often, how closely and how fast registration finds the true pose, under conditions that anybody can rerun."""

from raygrad.app.evaluation.conditions import CONDITIONS as CONDITIONS
from raygrad.app.evaluation.conditions import Case as Case
from raygrad.app.evaluation.conditions import make_case as make_case
from raygrad.app.evaluation.run import Outcome as Outcome
from raygrad.app.evaluation.run import Row as Row
from raygrad.app.evaluation.run import Start as Start
from raygrad.app.evaluation.run import evaluate as evaluate
from raygrad.app.evaluation.starts import VIEWS as VIEWS
