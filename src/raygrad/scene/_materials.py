"""What X-rays lose in metals, ceramics, plastics and tissues: linear attenuation by name and photon energy.

Mass attenuation coefficients with coherent scattering of the elements in cm2/g: W. T. Elam, B. D. Ravel and J. R.
Sieber, Radiat. Phys. Chem. 63:121 (2002), as XrayDB 4.5 has them, which are within 1 % of NIST's (J. H. Hubbell and
S. M. Seltzer, NISTIR 5632). A mixture's are the means of its elements' by mass (same report, section 3). Water and
cortical bone are those of `raygrad.data.hu_to_attenuation`.
"""

import math
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from raygrad.data import interpolate_log_log, water_and_bone

Material = str | float | int | Tensor

_ENERGIES_KEV = (20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 125.0, 150.0)
_ELEMENTS: Mapping[str, tuple[float, ...]] = {
    "H": (0.3695, 0.3631, 0.357, 0.3458, 0.3355, 0.326, 0.3091, 0.2944, 0.2787, 0.2651),
    "C": (0.442, 0.3136, 0.2562, 0.2076, 0.1871, 0.1753, 0.161, 0.1514, 0.1421, 0.1347),
    "N": (0.6179, 0.4019, 0.3067, 0.2288, 0.198, 0.1817, 0.1639, 0.1529, 0.1431, 0.1353),
    "O": (0.8653, 0.5265, 0.3779, 0.2585, 0.2133, 0.1907, 0.1679, 0.1551, 0.1443, 0.1361),
    "Al": (3.442, 1.836, 1.128, 0.5684, 0.3682, 0.2778, 0.2018, 0.1704, 0.1502, 0.1378),
    "Si": (4.463, 2.364, 1.436, 0.701, 0.4385, 0.3206, 0.2228, 0.1835, 0.1591, 0.1448),
    "Ar": (8.63, 4.531, 2.696, 1.228, 0.7012, 0.4664, 0.276, 0.2043, 0.1637, 0.1427),
    "Ti": (15.85, 8.371, 4.972, 2.213, 1.213, 0.766, 0.4053, 0.2721, 0.1999, 0.1649),
    "V": (17.68, 9.36, 5.565, 2.472, 1.348, 0.8438, 0.4371, 0.2877, 0.2071, 0.1682),
    "Cr": (20.38, 10.82, 6.435, 2.855, 1.551, 0.964, 0.4905, 0.3166, 0.2233, 0.1788),
    "Mn": (22.53, 11.99, 7.142, 3.169, 1.714, 1.06, 0.5306, 0.3366, 0.233, 0.1838),
    "Fe": (25.68, 13.7, 8.177, 3.629, 1.957, 1.205, 0.5952, 0.3717, 0.2526, 0.1964),
    "Co": (28.03, 15.0, 8.963, 3.98, 2.144, 1.314, 0.6414, 0.3949, 0.2638, 0.2023),
    "Ni": (32.2, 17.29, 10.34, 4.6, 2.475, 1.511, 0.7306, 0.4439, 0.2918, 0.2208),
    "Cu": (33.8, 18.2, 10.91, 4.861, 2.613, 1.593, 0.763, 0.4585, 0.2969, 0.2217),
    "Zr": (72.38, 40.45, 24.86, 11.39, 6.174, 3.744, 1.721, 0.9656, 0.5638, 0.3791),
    "Mo": (79.45, 45.13, 28.1, 12.94, 7.04, 4.274, 1.962, 1.096, 0.6335, 0.4208),
    "Ta": (63.34, 35.23, 21.88, 10.25, 5.718, 3.569, 7.588, 4.3, 2.43, 1.531),
    "W": (65.72, 36.58, 22.73, 10.67, 5.95, 3.713, 7.809, 4.437, 2.511, 1.581),
    "Pt": (75.73, 42.36, 26.42, 12.45, 6.954, 4.34, 8.732, 4.993, 2.89, 1.795),
    "Au": (78.81, 44.11, 27.52, 12.98, 7.258, 4.529, 2.185, 5.158, 2.934, 1.86),
    "Pb": (86.37, 48.48, 30.32, 14.36, 8.042, 5.02, 2.42, 5.549, 3.168, 2.015),
}
_K_EDGES: Mapping[str, tuple[float, float, float]] = {  # keV, and the coefficients below and above
    "Ta": (67.41, 2.653, 11.80),
    "W": (69.52, 2.552, 11.23),
    "Pt": (78.39, 2.203, 9.380),
    "Au": (80.72, 2.137, 8.902),
    "Pb": (88.00, 1.910, 7.684),
}
_MIXTURES: Mapping[str, tuple[float, dict[str, float]]] = {  # g/cm3, and shares of the mass
    "titanium": (4.506, {"Ti": 1.0}),
    "ti6al4v": (4.43, {"Ti": 0.90, "Al": 0.06, "V": 0.04}),
    "nitinol": (6.45, {"Ni": 0.55, "Ti": 0.45}),
    "steel": (8.0, {"Fe": 0.655, "Cr": 0.17, "Ni": 0.12, "Mo": 0.025, "Mn": 0.02, "Si": 0.01}),  # 316L
    "cobalt-chrome": (8.3, {"Co": 0.65, "Cr": 0.285, "Mo": 0.06, "Mn": 0.005}),  # ASTM F75
    "aluminium": (2.699, {"Al": 1.0}),
    "copper": (8.96, {"Cu": 1.0}),
    "tantalum": (16.65, {"Ta": 1.0}),
    "tungsten": (19.3, {"W": 1.0}),
    "platinum": (21.45, {"Pt": 1.0}),
    "gold": (19.32, {"Au": 1.0}),
    "lead": (11.35, {"Pb": 1.0}),
    "zirconia": (6.05, {"Zr": 0.7403, "O": 0.2597}),
    "alumina": (3.95, {"Al": 0.5293, "O": 0.4707}),
    "pmma": (1.19, {"C": 0.5998, "H": 0.0805, "O": 0.3196}),
    "polyethylene": (0.935, {"C": 0.8563, "H": 0.1437}),
    "peek": (1.30, {"C": 0.7915, "H": 0.0420, "O": 0.1665}),
    "air": (0.001205, {"N": 0.755, "O": 0.232, "Ar": 0.013}),
}
_TISSUES = ("water", "cortical bone")
_ALIASES = {
    "ti": "titanium",
    "titanium alloy": "ti6al4v",
    "stainless steel": "steel",
    "316l": "steel",
    "cobalt chrome": "cobalt-chrome",
    "cobalt chromium": "cobalt-chrome",
    "cocr": "cobalt-chrome",
    "cocrmo": "cobalt-chrome",
    "aluminum": "aluminium",
    "al": "aluminium",
    "ta": "tantalum",
    "w": "tungsten",
    "au": "gold",
    "pb": "lead",
    "acrylic": "pmma",
    "plexiglass": "pmma",
    "uhmwpe": "polyethylene",
    "bone": "cortical bone",
    "soft tissue": "water",
}
MATERIALS = (*_MIXTURES, *_TISSUES)
"""The materials that are known by name."""


def attenuation_of(material: Material, energy_kev: float | int = 60.0) -> float | Tensor:
    """The linear attenuation coefficient in 1/mm.

    Args:
        material: a name, see `MATERIALS` (or one of its common other names); a number in 1/mm as it is; or a tensor of
            one such number, to which gradients flow.
        energy_kev: photon energy from 20 to 150 keV, for names. Between the tables' energies it is a cubic in log
            energy and log attenuation, on either side of K edges.

    Raises:
        ValueError: the material is not known, a number is negative or not finite, or the energy is beyond the tables.
        TypeError: it is none of these.
    """
    if isinstance(material, str):
        if not 20 <= energy_kev <= 150:
            raise ValueError(f"Expected energy_kev from 20 to 150. Got {energy_kev}.")
        return _by_name(_name_of(material), float(energy_kev))
    if isinstance(material, Tensor):
        if material.numel() != 1 or not material.is_floating_point():
            shape = f"{tuple(material.shape)}, {material.dtype}"
            raise ValueError(f"Expected attenuation in 1/mm as one floating-point number. Got {shape}.")
        return material.reshape(())
    if isinstance(material, bool) or not isinstance(material, (int, float)):
        raise TypeError(f"Expected a material's name or its attenuation in 1/mm. Got {type(material).__name__}.")
    if not math.isfinite(material) or material < 0:
        raise ValueError(f"Expected attenuation of at least 0 in 1/mm. Got {material}.")
    return float(material)


def _name_of(material: str) -> str:
    plain = " ".join(material.lower().replace("_", " ").split())
    for name in (plain, plain.replace("-", " "), plain.replace(" ", "-")):
        name = _ALIASES.get(name, name)
        if name in MATERIALS:
            return name
    raise ValueError(f"Expected a material of {', '.join(sorted(MATERIALS))}, or a number in 1/mm. Got {material!r}.")


def _by_name(name: str, energy_kev: float) -> float:
    if name in _TISSUES:
        return water_and_bone(energy_kev)[_TISSUES.index(name)]
    density, shares = _MIXTURES[name]
    mean = sum(share * _mass_attenuation(element, energy_kev) for element, share in shares.items()) / sum(
        shares.values()
    )
    return mean * density / 10


def _mass_attenuation(element: str, energy_kev: float) -> float:
    energies, values = np.array(_ENERGIES_KEV), np.array(_ELEMENTS[element])
    if element in _K_EDGES:
        edge, below, above = _K_EDGES[element]
        if energy_kev < edge:
            energies, values = np.append(energies[energies < edge], edge), np.append(values[energies < edge], below)
        else:
            energies, values = np.append(edge, energies[energies > edge]), np.append(above, values[energies > edge])
    return interpolate_log_log(energy_kev, energies, values)
