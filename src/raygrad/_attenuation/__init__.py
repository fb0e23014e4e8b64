"""Tables of what X-rays lose in elements and materials: the one source of it for all rooms."""

from raygrad._attenuation.attenuation import MATERIALS as MATERIALS
from raygrad._attenuation.attenuation import composition_of as composition_of
from raygrad._attenuation.attenuation import density_of as density_of
from raygrad._attenuation.attenuation import linear_attenuation as linear_attenuation
from raygrad._attenuation.attenuation import mass_attenuation as mass_attenuation
from raygrad._attenuation.attenuation import material_named as material_named
from raygrad._attenuation.elements import HIGHEST_KEV as HIGHEST_KEV
from raygrad._attenuation.elements import LOWEST_KEV as LOWEST_KEV
from raygrad._attenuation.elements import air_energy_absorption as air_energy_absorption
from raygrad._attenuation.elements import checked_energies as checked_energies
