"""What an X-ray system makes of what its rays meet: one frozen value that travels together."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from raygrad.physics._blur import DetectorBlur
from raygrad.physics._collimator import Collimator
from raygrad.physics._focal_spot import FocalSpot
from raygrad.physics._gain import Gain
from raygrad.physics._glare import Glare
from raygrad.physics._heel import Heel
from raygrad.physics._lag import Lag
from raygrad.physics._noise import Noise
from raygrad.physics._numbers import Number, check_number, tensor_of
from raygrad.physics._presentation import PRESENTATIONS, Presentation
from raygrad.physics._response import Response
from raygrad.physics._scatter import AntiScatterGrid, Scatter
from raygrad.physics._sensor import Sensor, sensor_named
from raygrad.physics._spectrum import Spectrum
from raygrad.physics._tissues import Tissues

EFFECTS = ("inverse_square", "heel", "focal_spot", "collimator", "scatter", "grid", "blur", "glare", "gain", "lag")
"""Those that change expected line integrals, in the order in which they act."""

ANODE_DEG = 12.0
"""Angle of the anode of systems whose heel effect is not looked at."""


@dataclass(frozen=True, eq=False)
class Physics:
    """An X-ray system: spectrum, materials, detector, and effects that are off unless they are given.

    They act in this order. The beam of `spectrum` and `dose_ugy` loses in the `tissues` (and solids) on its way
    sum_E photons(E) exp(-sum_m mu_m(E) A_m) to each pixel, which `sensor` weights by what a photon adds to its
    signal; `inverse_square` and `heel` change the beam from pixel to pixel, and `focal_spot` blurs it; `collimator`
    cuts it. `scatter` is added and `grid` holds it back. Quanta have `noise`; the detector spreads what it absorbs
    (`blur`, `glare`), its electronics add `noise`, each pixel has its `gain`, and frames hold a share of those
    before them (`lag`). `response` makes pictures of shares of the open field; without one `presentation` does, as
    vendors process them for the eye.

    Args:
        spectrum: of the tube, filtered.
        sensor: what absorbs the photons; by default all of their energy is measured.
        tissues: what a CT is made of.
        dose_ugy: air kerma in microgray at the detector with nothing in the beam, where the central ray meets it; above
            0. It gives counts their unit and noise its size.
        inverse_square: whether intensity falls with the square of the way, and with obliquity, over the detector.
            Detectors are calibrated so that it does not show in line integrals, but in counts and their noise.
        heel, focal_spot, scatter, grid, blur, glare, noise, gain, lag, response, collimator, presentation: see these
            classes.

    Every number of it may be a tensor with a gradient.

    Raises:
        ValueError: a dose that is not above 0.
        TypeError: something of another kind.
    """

    spectrum: Spectrum
    sensor: Sensor = field(default_factory=lambda: sensor_named("ideal"))
    tissues: Tissues = field(default_factory=Tissues)
    dose_ugy: Number | None = None
    inverse_square: bool = False
    heel: Heel | None = None
    focal_spot: FocalSpot | None = None
    scatter: Scatter | None = None
    grid: AntiScatterGrid | None = None
    blur: DetectorBlur | None = None
    glare: Glare | None = None
    noise: Noise | None = None
    gain: Gain | None = None
    lag: Lag | None = None
    response: Response | None = None
    collimator: Collimator | None = None
    presentation: Presentation | None = None

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            if not isinstance(value, kind) and (value is not None or name in _NEEDED):
                raise TypeError(f"Expected {name} as {kind.__name__}. Got {type(value).__name__}.")
        if self.dose_ugy is not None:
            check_number("dose_ugy", self.dose_ugy, above=0, unit="microgray")

    @classmethod
    def monochromatic(cls, kev: Number, **changes: Any) -> "Physics":
        """One photon energy and a detector that counts every photon: Beer and Lambert's law.

        Line integrals are those of a DRR of `read(..., density="attenuation", energy_kev=kev)`, to the bit: tissues are
        `Tissues.water_and_bone()`, unless energy carries a gradient.

        Args:
            kev: the energy, from 20 to 150 keV.
            changes: other attributes.
        """
        tissues = Tissues() if isinstance(kev, Tensor) and kev.requires_grad else Tissues.water_and_bone()
        usual: dict[str, Any] = {"sensor": sensor_named("ideal-counting"), "tissues": tissues}
        return cls(Spectrum.monochromatic(kev), **(usual | changes))

    @classmethod
    def preset(
        cls,
        name: str,
        kvp: Number | None = None,
        filtration: Mapping[str, Number] | None = None,
        dose: Number | None = None,
        detector: str | Sensor | None = None,
        **changes: Any,
    ) -> "Physics":
        """Usual settings of a system, with the effects that are seen in its images.

        Args:
            name: "fluoroscopy" (a frame of a C-arm), "radiography" (a single exposure with a grid) or "cbct" (a frame
                of a C-arm's sweep).
            kvp: tube voltage, from 40 to 150 kV.
            filtration: mm of each material in the beam, those of the tube too.
            dose: microgray at the detector with nothing in the beam.
            detector: a `Sensor`, or the name of one.
            changes: other attributes, None to switch an effect off. The anode's angle is that of the heel effect.

        Raises:
            ValueError: an unknown name, or a number beyond its range.
        """
        if name not in PRESETS:
            raise ValueError(f"Expected a preset of {', '.join(PRESETS)}. Got {name!r}.")
        usual = dict(PRESETS[name])
        usual_kvp, usual_filtration, usual_detector = (usual.pop(key) for key in ("kvp", "filtration", "detector"))
        heel = changes.get("heel", usual.get("heel"))
        spectrum = Spectrum.tube(
            usual_kvp if kvp is None else kvp,
            usual_filtration if filtration is None else filtration,
            ANODE_DEG if heel is None else heel.angle_deg,
        )
        detector = usual_detector if detector is None else detector
        sensor = detector if isinstance(detector, Sensor) else sensor_named(detector)
        if dose is not None:
            usual["dose_ugy"] = dose
        if sensor.counting:
            usual["noise"] = Noise()  # a photon counts above a threshold that electronic noise does not reach
        settings: dict[str, Any] = {"spectrum": spectrum, "sensor": sensor} | usual | changes
        return cls(**settings)

    def replaced(self, **changes: Any) -> "Physics":
        """The same but for these."""
        return replace(self, **changes)

    @property
    def only_energy(self) -> float | None:
        """The energy of a monochromatic beam, if that and all densities are constant: one volume says it all then."""
        there = (self.spectrum.photons.detach() > 0).nonzero()[:, 0]
        carries = any(isinstance(one, Tensor) and one.requires_grad for one in self.tissues.densities.values())
        if len(there) != 1 or carries or self.spectrum.energies_kev.requires_grad:
            return None
        return float(self.spectrum.energies_kev[there[0]])

    @property
    def sensor_weights(self) -> Float[Tensor, " energy"]:
        """What the photons of each energy add to the signal, of those per mm2 and mAs at 1 m."""
        return self.spectrum.photons * self.sensor.weights(self.spectrum.energies_kev)

    def photons_per_pixel(self, pixel_mm: tuple[Number, Number]) -> Float[Tensor, ""]:
        """How many mm2 mAs at 1 m the dose is in a pixel: times the spectrum's photons, those that arrive.

        Args:
            pixel_mm: height and width of a pixel on the detector.

        Raises:
            ValueError: there is no dose.
        """
        if self.dose_ugy is None:
            raise ValueError("Expected physics with a dose_ugy. Got dose_ugy=None.")
        kerma = self.spectrum.air_kerma()
        height, width, dose = (tensor_of(one, kerma) for one in (*pixel_mm, self.dose_ugy))
        return dose * height * width / kerma

    @property
    def effects(self) -> tuple[str, ...]:
        """The names of effects that are on and change expected line integrals."""
        return tuple(name for name in EFFECTS if getattr(self, name) not in (None, False))


_NEEDED = ("spectrum", "sensor", "tissues", "inverse_square")
_KINDS: Mapping[str, type] = {
    "spectrum": Spectrum,
    "sensor": Sensor,
    "tissues": Tissues,
    "inverse_square": bool,
    "heel": Heel,
    "focal_spot": FocalSpot,
    "scatter": Scatter,
    "grid": AntiScatterGrid,
    "blur": DetectorBlur,
    "glare": Glare,
    "noise": Noise,
    "gain": Gain,
    "lag": Lag,
    "response": Response,
    "collimator": Collimator,
    "presentation": Presentation,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fluoroscopy": {
        "kvp": 75.0,
        "filtration": {"aluminium": 3.0, "copper": 0.2},
        "detector": "csi",
        "dose_ugy": 2.0,
        "focal_spot": FocalSpot(0.6),
        "scatter": Scatter(2.0),
        "grid": AntiScatterGrid(),
        "blur": DetectorBlur.from_mtf(0.5, 1.2),
        "glare": Glare(0.05),
        "noise": Noise(electronic=100.0),
        "presentation": PRESENTATIONS["fluoroscopy"],
    },
    "radiography": {
        "kvp": 80.0,
        "filtration": {"aluminium": 3.0},
        "detector": "csi",
        "dose_ugy": 50.0,
        "heel": Heel(16.0),  # an anode whose beam covers 430 mm a metre away
        "focal_spot": FocalSpot(1.0),
        "scatter": Scatter(2.0),
        "grid": AntiScatterGrid(),
        "blur": DetectorBlur.from_mtf(0.5, 1.2),
        "glare": Glare(0.03),
        "noise": Noise(electronic=100.0),
        "presentation": PRESENTATIONS["radiography"],
    },
    "cbct": {
        "kvp": 110.0,
        "filtration": {"aluminium": 2.5, "copper": 0.3},
        "detector": "csi",
        "dose_ugy": 20.0,
        "focal_spot": FocalSpot(0.6),
        "scatter": Scatter(2.0),
        "grid": AntiScatterGrid(),
        "blur": DetectorBlur.from_mtf(0.5, 1.0),
        "glare": Glare(0.05),
        "noise": Noise(electronic=100.0),
        "lag": Lag(),
        "presentation": PRESENTATIONS["cbct"],
    },
}
"""Usual systems. Doses are those with nothing in the beam. Behind a chest, of 2 microgray 50 to 100 nGy a frame arrive,
as in fluoroscopy; of 50, 2.5 behind the lungs (speed 400); of 20, 0.2 to 1 a frame of a sweep. Electronic noise: about
two quanta of 50 keV.
"""
