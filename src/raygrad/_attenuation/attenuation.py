"""What X-rays lose in a material, by its name and their energies."""

from collections.abc import Mapping

from jaxtyping import Float, Shaped
from torch import Tensor

from raygrad._attenuation.elements import SYMBOLS, checked_energies, of_element
from raygrad._attenuation.materials import ALIASES, COMPOSITIONS

MATERIALS = tuple(COMPOSITIONS)
"""The materials that are known by name: tissues (ICRU 44), contrast agents, metals, ceramics, plastics, detectors."""


def material_named(text: str, others: str = "") -> str:
    """The name in `MATERIALS` of a material that may be called by another name, in any case, with - or _ for spaces.

    Args:
        text: how it is called.
        others: what else the caller takes, for the message.

    Raises:
        ValueError: it is not known; the message lists the names.
        TypeError: it is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"Expected a material's name. Got {type(text).__name__}.")
    plain = " ".join(text.lower().replace("_", " ").split())
    for name in (plain, plain.replace("-", " "), plain.replace(" ", "-")):
        name = ALIASES.get(name, name)
        if name in COMPOSITIONS:
            return name
    raise ValueError(f"Expected a material of {', '.join(sorted(MATERIALS))}{others}. Got {text!r}.")


def density_of(material: str) -> float:
    """The density in g/cm3.

    Args:
        material: a name, see `material_named`, which raises ValueError for others.
    """
    return COMPOSITIONS[material_named(material)].density


def composition_of(material: str) -> Mapping[str, float]:
    """The elements' shares of the mass, which sum to 1.

    Args:
        material: the symbol of an element ("I"), or a name, see `material_named`, which raises ValueError for others.
    """
    if material in SYMBOLS:
        return {material: 1.0}
    shares = COMPOSITIONS[material_named(material)].shares
    whole = sum(shares.values())
    return {element: share / whole for element, share in shares.items()}


def mass_attenuation(material: str, energies_kev: Shaped[Tensor, "..."] | float | int) -> Float[Tensor, " energy"]:
    """The mass attenuation coefficient in cm2/g, coherent scattering included, in double precision.

    A mixture's is the mean of its elements' by mass. Between the energies of the tables it is a straight
    line in log energy and log attenuation, within 0.1 % of the source everywhere; edges are sharp, and an edge itself
    belongs to what is above. Gradients flow to the energies.

    Args:
        material: the symbol of an element up to uranium ("I"), or a name, see `material_named`.
        energies_kev: photon energies from 10 to 150 keV, any shape.

    Raises:
        ValueError: the material is not known, or an energy is outside the tables.
        TypeError: the energies are neither a number nor a tensor of real numbers.
    """
    shares = composition_of(material)
    energies = checked_energies(energies_kev)
    parts = [share * of_element(element, energies) for element, share in shares.items()]
    return sum(parts[1:], start=parts[0])


def linear_attenuation(material: str, energies_kev: Shaped[Tensor, "..."] | float | int) -> Float[Tensor, " energy"]:
    """The linear attenuation coefficient in 1/mm, coherent scattering included, in double precision.

    Arguments and errors are those of `mass_attenuation`; the material needs a density, so it is one of `MATERIALS`.
    """
    density = density_of(material)
    return mass_attenuation(material_named(material), energies_kev) * (density / 10)
