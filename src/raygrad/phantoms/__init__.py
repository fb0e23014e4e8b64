"""Bodies that are known exactly: shapes with closed forms, and example CTs of the chest."""

from raygrad.phantoms._examples import load_example_ct as load_example_ct
from raygrad.phantoms._shapes import Box as Box
from raygrad.phantoms._shapes import Ellipsoid as Ellipsoid
from raygrad.phantoms._shapes import Gaussian as Gaussian
from raygrad.phantoms._shapes import Phantom as Phantom
from raygrad.phantoms._shapes import shepp_logan as shepp_logan

__all__ = [
    "load_example_ct",
    "Phantom",
    "Ellipsoid",
    "Box",
    "Gaussian",
    "shepp_logan",
]

# Lent to other rooms; not for users.
from raygrad.phantoms._cache import cache_folder as cache_folder
from raygrad.phantoms._chest import CHEST_SHA256 as CHEST_SHA256
from raygrad.phantoms._chest import find_chest as find_chest
