"""Make src/raygrad/_attenuation/elements.npz: mass attenuation of the elements from hydrogen to uranium, 10 to 150 keV.

    pip install xraydb==4.5.8 scipy
    python tools/make_attenuation_table.py

Source: XrayDB 4.5.8 (M. Newville, MIT licence), which has the total attenuation
coefficients, coherent scattering included, of W. T. Elam, B. D. Ravel and J. R. Sieber, Radiat. Phys. Chem. 63:121
(2002), doi:10.1016/S0969-806X(01)00227-4.

What air absorbs (its mass energy-absorption coefficient, for air kerma) is NIST's: J. H. Hubbell and S. M. Seltzer,
NISTIR 5632, NIST Standard Reference Database 126, table 4, "Air, Dry (Near Sea Level)"; a spline goes through them.

Of each element as few energies are kept as interpolation in log energy and log attenuation allows; where it
jumps, the energy is there twice, with the values below and above.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import xraydb
from scipy.interpolate import CubicSpline

TABLE = Path(__file__).parents[1] / "src/raygrad/_attenuation/elements.npz"
LOWEST_EV, HIGHEST_EV = 10_000.0, 150_000.0
TOLERANCE = 5e-4  # of interpolated values, against XrayDB's
ELEMENTS = 92
AIR_EV = 1000 * np.array([10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 150.0, 200.0])
AIR_ABSORPTION = np.array([4.742, 1.334, 0.5389, 0.1537, 0.06833, 0.04098, 0.03041, 0.02407, 0.02325, 0.02496, 0.02672])


def attenuation(symbol: str, energies_ev: np.ndarray) -> np.ndarray:
    """In cm2/g."""
    return xraydb.mu_elam(symbol, energies_ev, "total")


def jumps(symbol: str) -> list[float]:
    """Where XrayDB's attenuation jumps, within 0.01 eV, which may be a few eV from the edge in its list."""
    found = []
    for edge in xraydb.xray_edges(symbol).values():
        below, above = edge.energy - 12, edge.energy + 12
        if below < LOWEST_EV or above > HIGHEST_EV:
            continue
        jump = np.log(np.divide(*attenuation(symbol, np.array([above, below]))))
        if jump < 0.02:
            continue
        while above - below > 0.01:
            middle = (below + above) / 2
            low, high = attenuation(symbol, np.array([below, middle]))
            below, above = (below, middle) if np.log(high / low) > jump / 2 else (middle, above)
        found.append(float(np.float32((below + above) / 2)))
    return sorted(found)


def sparse(log_energies: np.ndarray, log_values: np.ndarray) -> np.ndarray:
    """The samples between which a straight line stays within the tolerance (Ramer, Douglas and Peucker)."""
    kept = {0, len(log_energies) - 1}
    pieces = [(0, len(log_energies) - 1)]
    while pieces:
        first, last = pieces.pop()
        inside = slice(first, last + 1)
        line = np.interp(log_energies[inside], log_energies[[first, last]], log_values[[first, last]])
        off = np.abs(line - log_values[inside])
        if off.max() > TOLERANCE:
            worst = first + int(off.argmax())
            kept.add(worst)
            pieces += [(first, worst), (worst, last)]
    return np.array(sorted(kept))


def nodes(symbol: str) -> tuple[np.ndarray, np.ndarray]:
    """Energies in eV and attenuation in cm2/g."""
    ends = [LOWEST_EV, *jumps(symbol), HIGHEST_EV]
    energies, values = [], []
    for begin, end in pairwise(ends):
        piece = np.geomspace(begin, end, max(50, round(1500 * np.log(end / begin))))
        inside = piece.copy()
        inside[0] += 0.0 if begin == LOWEST_EV else 0.02
        inside[-1] -= 0.0 if end == HIGHEST_EV else 0.02
        value = attenuation(symbol, inside)
        kept = sparse(np.log(piece), np.log(value))
        energies.append(piece[kept])
        values.append(value[kept])
    return np.concatenate(energies), np.concatenate(values)


def air() -> tuple[np.ndarray, np.ndarray]:
    """Energies in eV, and what air absorbs in cm2/g."""
    energies = np.geomspace(LOWEST_EV, HIGHEST_EV, 4001)
    values = CubicSpline(np.log(AIR_EV), np.log(AIR_ABSORPTION))(np.log(energies))
    kept = sparse(np.log(energies), values)
    return energies[kept], np.exp(values[kept])


def main() -> None:
    """Write the table."""
    symbols = [xraydb.atomic_symbol(number) for number in range(1, ELEMENTS + 1)]
    tables = [nodes(symbol) for symbol in symbols]
    air_energies, air_values = air()
    np.savez_compressed(
        TABLE,
        symbols=np.array(symbols),
        first=np.cumsum([0] + [len(energies) for energies, _ in tables]).astype(np.int16),
        energies_ev=np.concatenate([energies for energies, _ in tables]).astype(np.float32),
        cm2_per_g=np.concatenate([values for _, values in tables]).astype(np.float32),
        air_energies_ev=air_energies.astype(np.float32),
        air_absorption_cm2_per_g=air_values.astype(np.float32),
    )
    print(f"{TABLE}: {TABLE.stat().st_size} bytes, {sum(len(e) for e, _ in tables)} energies")


if __name__ == "__main__":
    main()
