"""The conditions of an evaluation: what X-rays are like, the patients in them, and how they are made."""

from raygrad.evaluation._conditions.cases import Case as Case
from raygrad.evaluation._conditions.cases import forget_patients as forget_patients
from raygrad.evaluation._conditions.cases import make_case as make_case
from raygrad.evaluation._conditions.cases import make_drr as make_drr
from raygrad.evaluation._conditions.conditions import CONDITIONS as CONDITIONS
from raygrad.evaluation._conditions.conditions import Condition as Condition
from raygrad.evaluation._conditions.conditions import conditions_of as conditions_of
from raygrad.evaluation._conditions.technique import Technique as Technique
