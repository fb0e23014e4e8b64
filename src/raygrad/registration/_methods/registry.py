"""All methods: a new one is its file, and its line in each half of this one."""

from collections.abc import Mapping

from raygrad.registration._method import Method
from raygrad.registration._methods.adam import Adam
from raygrad.registration._methods.levenberg_marquardt import LevenbergMarquardt
from raygrad.registration._methods.quasi_newton import QuasiNewton

METHODS: Mapping[str, type[Method]] = {
    method.name: method
    for method in (
        LevenbergMarquardt,
        Adam,
        QuasiNewton,
    )
}
"""The methods by their names, which `raygrad.register` and the command line know them by."""
