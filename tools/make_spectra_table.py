"""Make src/raygrad/physics/tungsten.npz: spectra of tubes with tungsten anodes before any filter, 40 to 150 kV.

    pip install spekpy==2.5.4
    python tools/make_spectra_table.py

It takes five minutes. Source: SpekPy 2.5.4 (G. Poludniowski and R. Bujila, MIT licence) with what it does by default
(its model "casim" and the attenuation of PENELOPE): G. Poludniowski, A. Omar, R. Bujila and P. Andreo, Med. Phys.
48:3630 (2021), doi:10.1002/mp.14945; R. Bujila, A. Omar and G. Poludniowski, Phys. Med. 75:44 (2020).

The logarithms of photons per cm2 and mAs at 1 m in bins of 1 keV are kept as whole numbers of STEPS, and of these the
differences from angle to angle and from voltage to voltage, which are small and so take little space.
"""

from pathlib import Path

import numpy as np
import spekpy

TABLE = Path(__file__).parents[1] / "src/raygrad/physics/tungsten.npz"
ANGLES_DEG = (5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 22.5, 25)
LOWEST_KV, HIGHEST_KV = 40, 150
LOWEST_KEV = 10  # where the tables of attenuation begin: what is below does not leave a tube with its filters
STEPS = 2000  # a unit of the logarithm


def spectrum(kvp: float, angle_deg: float) -> np.ndarray:
    """Photons per cm2 and mAs at 1 m in the bins from 10 to 11 keV, 11 to 12 keV, ... 149 to 150 keV."""
    energies, photons = spekpy.Spek(kvp=kvp, th=angle_deg, dk=1.0, z=100, mas=1).get_spectrum(edges=False, diff=False)
    if not np.array_equal(energies, np.arange(1.5, kvp)):
        raise RuntimeError(f"Expected bins of whole keV up to {kvp}. Got {energies}.")
    bins = np.zeros(HIGHEST_KV)
    bins[1 : 1 + len(photons)] = photons
    return bins[LOWEST_KEV:]


def main() -> None:
    """Write the table."""
    voltages = range(LOWEST_KV, HIGHEST_KV + 1)
    photons = np.array([[spectrum(kvp, angle) for kvp in voltages] for angle in ANGLES_DEG])
    logarithms = np.rint(np.log(np.maximum(photons, 1.0)) * STEPS).astype(int)
    differences = np.diff(np.diff(logarithms, axis=0, prepend=0), axis=1, prepend=0)
    if np.abs(differences).max() > np.iinfo(np.int16).max:
        raise RuntimeError("The differences do not fit into 16 bits.")
    np.savez_compressed(
        TABLE,
        angles_deg=np.array(ANGLES_DEG, dtype=np.float32),
        differences=differences.astype(np.int16),
        steps=np.int16(STEPS),
    )
    print(f"{TABLE}: {TABLE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
