"""All methods: a new one is its file, and its line in each half of this one."""

from collections.abc import Mapping

from raygrad.reconstruction._method import Method
from raygrad.reconstruction._methods.adam import Adam
from raygrad.reconstruction._methods.cgls import Cgls
from raygrad.reconstruction._methods.fdk import Fdk
from raygrad.reconstruction._methods.os_sart import OsSart
from raygrad.reconstruction._methods.osem import Osem
from raygrad.reconstruction._methods.sirt import Sirt
from raygrad.reconstruction._methods.tv import TotalVariation

METHODS: Mapping[str, type[Method]] = {
    method.name: method
    for method in (
        Fdk,
        Sirt,
        OsSart,
        Cgls,
        Osem,
        TotalVariation,
        Adam,
    )
}
"""The methods by their names, which `raygrad.reconstruct` and the command line know them by."""
