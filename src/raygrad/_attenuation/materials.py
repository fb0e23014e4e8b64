"""What materials are made of: density in g/cm3, and the elements' shares of the mass.

Tissues are those of ICRU report 44 (1989), but for spongiosa as NIST has them (J. H. Hubbell and S. M. Seltzer, NISTIR
5632, table 2, with their densities); lung is given as tissue and, with ICRU 44's density, inflated. Plastics, air and
compounds are made of what the same table says, or their formula with the atomic masses of IUPAC; of those that are sold
in several densities, such as PVC, it is a usual one. Alloys by their standards, at the middle of what these allow.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Composition(NamedTuple):
    """A density in g/cm3 and the shares of the mass, which need not sum to 1."""

    density: float
    shares: Mapping[str, float]


_TISSUES = {
    "water": Composition(1.0, {"H": 0.111894, "O": 0.888106}),
    "adipose": Composition(
        0.95, {"H": 0.114, "C": 0.598, "N": 0.007, "O": 0.278, "Na": 0.001, "S": 0.001, "Cl": 0.001}
    ),
    "soft tissue": Composition(
        1.06,
        {
            "H": 0.102,
            "C": 0.143,
            "N": 0.034,
            "O": 0.708,
            "Na": 0.002,
            "P": 0.003,
            "S": 0.003,
            "Cl": 0.002,
            "K": 0.003,
        },
    ),
    "muscle": Composition(
        1.05,
        {
            "H": 0.102,
            "C": 0.143,
            "N": 0.034,
            "O": 0.710,
            "Na": 0.001,
            "P": 0.002,
            "S": 0.003,
            "Cl": 0.001,
            "K": 0.004,
        },
    ),
    "blood": Composition(
        1.06,
        {
            "H": 0.102,
            "C": 0.110,
            "N": 0.033,
            "O": 0.745,
            "Na": 0.001,
            "P": 0.001,
            "S": 0.002,
            "Cl": 0.003,
            "K": 0.002,
            "Fe": 0.001,
        },
    ),
    "brain": Composition(
        1.04,
        {
            "H": 0.107,
            "C": 0.145,
            "N": 0.022,
            "O": 0.712,
            "Na": 0.002,
            "P": 0.004,
            "S": 0.002,
            "Cl": 0.003,
            "K": 0.003,
        },
    ),
    "breast": Composition(
        1.02,
        {"H": 0.106, "C": 0.332, "N": 0.030, "O": 0.527, "Na": 0.001, "P": 0.001, "S": 0.002, "Cl": 0.001},
    ),
    "lung": Composition(
        1.05,
        {
            "H": 0.103,
            "C": 0.105,
            "N": 0.031,
            "O": 0.749,
            "Na": 0.002,
            "P": 0.002,
            "S": 0.003,
            "Cl": 0.003,
            "K": 0.002,
        },
    ),
    "cortical bone": Composition(
        1.92,
        {
            "H": 0.034,
            "C": 0.155,
            "N": 0.042,
            "O": 0.435,
            "Na": 0.001,
            "Mg": 0.002,
            "P": 0.103,
            "S": 0.003,
            "Ca": 0.225,
        },
    ),
    "spongiosa": Composition(
        1.18,
        {
            "H": 0.085,
            "C": 0.404,
            "N": 0.028,
            "O": 0.367,
            "Na": 0.001,
            "Mg": 0.001,
            "P": 0.034,
            "S": 0.002,
            "Cl": 0.002,
            "K": 0.001,
            "Ca": 0.074,
            "Fe": 0.001,
        },
    ),
}
_TISSUES["inflated lung"] = Composition(0.26, _TISSUES["lung"].shares)
_IOHEXOL_300 = Composition(  # C19H26I3N3O9 with 300 mg of iodine in 1 ml: 647 mg of it, and water
    1.349,
    {"H": 0.0736, "C": 0.1333, "N": 0.0245, "O": 0.5463, "I": 0.2223},
)


def _diluted(share: float, agent: Composition, within: Composition) -> Composition:
    """A share of the volume of one thing in another."""
    parts = ((share * agent.density, agent), ((1 - share) * within.density, within))
    density = sum(mass for mass, _ in parts)
    shares: dict[str, float] = {}
    for mass, part in parts:
        whole = sum(part.shares.values())
        for element, of_part in part.shares.items():
            shares[element] = shares.get(element, 0.0) + mass / density * of_part / whole
    return Composition(density, shares)


_CONTRAST = {
    "iohexol 300": _IOHEXOL_300,
    "iodine": _diluted(0.05, _IOHEXOL_300, _TISSUES["blood"]),  # 15 mg of iodine in 1 ml of blood
    "barium sulfate": Composition(4.5, {"Ba": 0.5884, "S": 0.1374, "O": 0.2742}),
}
_METALS = {
    "beryllium": Composition(1.848, {"Be": 1.0}),
    "magnesium": Composition(1.74, {"Mg": 1.0}),
    "aluminium": Composition(2.699, {"Al": 1.0}),
    "titanium": Composition(4.506, {"Ti": 1.0}),
    "iron": Composition(7.874, {"Fe": 1.0}),
    "nickel": Composition(8.902, {"Ni": 1.0}),
    "copper": Composition(8.96, {"Cu": 1.0}),
    "zinc": Composition(7.133, {"Zn": 1.0}),
    "zirconium": Composition(6.506, {"Zr": 1.0}),
    "niobium": Composition(8.57, {"Nb": 1.0}),
    "molybdenum": Composition(10.22, {"Mo": 1.0}),
    "rhodium": Composition(12.41, {"Rh": 1.0}),
    "silver": Composition(10.5, {"Ag": 1.0}),
    "tin": Composition(7.31, {"Sn": 1.0}),
    "gadolinium": Composition(7.9, {"Gd": 1.0}),
    "erbium": Composition(9.066, {"Er": 1.0}),
    "tantalum": Composition(16.65, {"Ta": 1.0}),
    "tungsten": Composition(19.3, {"W": 1.0}),
    "platinum": Composition(21.45, {"Pt": 1.0}),
    "gold": Composition(19.32, {"Au": 1.0}),
    "lead": Composition(11.35, {"Pb": 1.0}),
    "ti6al4v": Composition(4.43, {"Ti": 0.90, "Al": 0.06, "V": 0.04}),
    "nitinol": Composition(6.45, {"Ni": 0.55, "Ti": 0.45}),
    "steel": Composition(  # 316L
        8.0, {"Fe": 0.655, "Cr": 0.17, "Ni": 0.12, "Mo": 0.025, "Mn": 0.02, "Si": 0.01}
    ),
    "cobalt-chrome": Composition(8.3, {"Co": 0.65, "Cr": 0.285, "Mo": 0.06, "Mn": 0.005}),  # ASTM F75
    "brass": Composition(8.47, {"Cu": 0.65, "Zn": 0.35}),
    "platinum-iridium": Composition(21.55, {"Pt": 0.9, "Ir": 0.1}),  # coils, markers
}
_CERAMICS = {
    "zirconia": Composition(6.05, {"Zr": 0.7403, "O": 0.2597}),
    "alumina": Composition(3.95, {"Al": 0.5293, "O": 0.4707}),
    "hydroxyapatite": Composition(3.156, {"Ca": 0.3989, "P": 0.1850, "O": 0.4141, "H": 0.0020}),
    "glass": Composition(2.23, {"B": 0.0401, "O": 0.5396, "Na": 0.0282, "Al": 0.0116, "Si": 0.3772, "K": 0.0033}),
}
_PLASTICS = {
    "pmma": Composition(1.19, {"C": 0.5998, "H": 0.0805, "O": 0.3196}),
    "bone cement": Composition(  # PMMA with 10 % of barium sulfate
        1.28, {"C": 0.5398, "H": 0.0725, "O": 0.3151, "Ba": 0.0588, "S": 0.0137}
    ),
    "polyethylene": Composition(0.935, {"C": 0.8563, "H": 0.1437}),
    "polystyrene": Composition(1.06, {"C": 0.9226, "H": 0.0774}),
    "polycarbonate": Composition(1.2, {"C": 0.7557, "H": 0.0555, "O": 0.1888}),
    "polypropylene": Composition(0.905, {"C": 0.8563, "H": 0.1437}),
    "nylon": Composition(1.14, {"C": 0.6369, "H": 0.0980, "N": 0.1238, "O": 0.1414}),
    "ptfe": Composition(2.2, {"C": 0.2402, "F": 0.7598}),
    "pvc": Composition(1.3, {"C": 0.3844, "H": 0.0484, "Cl": 0.5673}),
    "peek": Composition(1.30, {"C": 0.7915, "H": 0.0420, "O": 0.1665}),
    "silicone": Composition(1.1, {"C": 0.3239, "H": 0.0816, "O": 0.2157, "Si": 0.3787}),
    "carbon fibre": Composition(1.6, {"C": 0.93, "H": 0.02, "O": 0.05}),
    "graphite": Composition(1.7, {"C": 1.0}),
}
_DETECTORS = {
    "csi": Composition(4.51, {"Cs": 0.5116, "I": 0.4884}),
    "gos": Composition(7.34, {"Gd": 0.8308, "O": 0.0845, "S": 0.0847}),
    "selenium": Composition(4.28, {"Se": 1.0}),
    "cdte": Composition(5.85, {"Cd": 0.4684, "Te": 0.5316}),
    "silicon": Composition(2.329, {"Si": 1.0}),
}

COMPOSITIONS: Mapping[str, Composition] = {
    **_TISSUES,
    **_CONTRAST,
    **_METALS,
    **_CERAMICS,
    **_PLASTICS,
    "air": Composition(0.001205, {"C": 0.000124, "N": 0.755268, "O": 0.231781, "Ar": 0.012827}),
    **_DETECTORS,
}
"""All materials by their names."""

ALIASES: Mapping[str, str] = {
    "h2o": "water",
    "fat": "adipose",
    "adipose tissue": "adipose",
    "tissue": "soft tissue",
    "soft": "soft tissue",
    "skeletal muscle": "muscle",
    "bone": "cortical bone",
    "cancellous bone": "spongiosa",
    "trabecular bone": "spongiosa",
    "lung tissue": "lung",
    "contrast": "iodine",
    "omnipaque 300": "iohexol 300",
    "barium": "barium sulfate",
    "be": "beryllium",
    "mg": "magnesium",
    "aluminum": "aluminium",
    "al": "aluminium",
    "ti": "titanium",
    "fe": "iron",
    "ni": "nickel",
    "cu": "copper",
    "zn": "zinc",
    "zr": "zirconium",
    "nb": "niobium",
    "mo": "molybdenum",
    "rh": "rhodium",
    "ag": "silver",
    "sn": "tin",
    "gd": "gadolinium",
    "er": "erbium",
    "ta": "tantalum",
    "w": "tungsten",
    "pt": "platinum",
    "au": "gold",
    "pb": "lead",
    "titanium alloy": "ti6al4v",
    "stainless steel": "steel",
    "316l": "steel",
    "cobalt chrome": "cobalt-chrome",
    "cobalt chromium": "cobalt-chrome",
    "cocr": "cobalt-chrome",
    "cocrmo": "cobalt-chrome",
    "pt-ir": "platinum-iridium",
    "hap": "hydroxyapatite",
    "pyrex": "glass",
    "acrylic": "pmma",
    "plexiglass": "pmma",
    "perspex": "pmma",
    "uhmwpe": "polyethylene",
    "lexan": "polycarbonate",
    "teflon": "ptfe",
    "carbon fiber": "carbon fibre",
    "carbon": "graphite",
    "cesium iodide": "csi",
    "caesium iodide": "csi",
    "gd2o2s": "gos",
    "gadolinium oxysulfide": "gos",
    "se": "selenium",
    "cadmium telluride": "cdte",
    "si": "silicon",
}
"""Other names in lower case."""
