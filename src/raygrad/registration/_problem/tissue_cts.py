"""The materials of a CT as X-rays see them by a physics: of all that is in it, or of the patient without the table."""

import weakref
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import torch

from raygrad.data import Subject, Volume
from raygrad.drr import DRR
from raygrad.march import Prepared
from raygrad.physics import Physics, PreparedTissues
from raygrad.registration._prepared import PreparedXRay
from raygrad.registration._problem.beam import TissueBeam
from raygrad.registration._problem.ct import PatientCT, patient_of
from raygrad.registration._problem.polychromatic import Polychromatic
from raygrad.registration._problem.pyramid import Pyramid
from raygrad.registration._result import CTSeen

PATIENT, EVERYTHING = "materials of the patient", "materials of all"


@dataclass(frozen=True, eq=False)
class _Made:
    """What was made last of a CT, and of what."""

    key: tuple
    materials: tuple[str, ...]
    pyramid: Pyramid


_MADE: "weakref.WeakKeyDictionary[Subject, dict[str, _Made]]" = weakref.WeakKeyDictionary()


class TissueCTs:
    """The CT of a registration with and without what is not the patient, of which the X-rays tell what fits.

    Attributes:
        xrays: of the views, each with a physics.
        patients: the CT of each without the table.
        forms: names of what there is to choose from.
    """

    forms = (PATIENT, EVERYTHING)

    def __init__(self, xrays: Sequence[PreparedXRay], patients: Sequence[PatientCT]) -> None:
        self.xrays, self.patients = xrays, patients

    @classmethod
    def of(cls, xrays: Sequence[PreparedXRay]) -> "TissueCTs | None":
        """None where there is nothing but the patient."""
        drrs = [xray.drr for xray in xrays if xray.drr is not None]
        patients = [patient_of(drr.subject) for drr in drrs if _is_upright(drr)]
        if len(patients) < len(xrays) or all(patient.cut_out is None for patient in patients):
            return None
        return cls(xrays, patients)

    def volumes(self, form: str) -> list[Polychromatic]:
        """A form's volumes, of every view."""
        found = []
        for xray, patient in zip(self.xrays, self.patients, strict=True):
            assert xray.drr is not None
            assert isinstance(xray.whole, Polychromatic)
            found.append(materials_of(xray.drr, xray.whole.beam.physics, patient if form == PATIENT else None))
        return found

    def seen(self, form: str, scores: dict[str, float]) -> CTSeen:
        """What there is to say of a form that was chosen."""
        patient = self.patients[0]
        if form == EVERYTHING or patient.cut_out is None:
            return CTSeen(form, scores)
        return CTSeen(form, scores, patient.litres, patient.share, patient.cut_out)


@torch.no_grad()
def materials_of(drr: DRR, physics: Physics, patient: PatientCT | None = None) -> Polychromatic:
    """The materials of a DRR's CT, made once: of all, or of the patient alone.

    Raises:
        ValueError: a CT that is not in HU, or what `PreparedTissues` raises.

    Warns:
        HounsfieldWarning: as `PreparedTissues.of`.
    """
    form = EVERYTHING if patient is None else PATIENT
    subject, hu, mask = drr.subject, drr.subject.volume.data, drr.mask
    place = str(drr.device), drr.dtype, tuple(drr.world_to_voxel.flatten().tolist())
    tensors = [one for one in (hu, mask) if one is not None]
    versions = tuple((one.data_ptr(), None if one.is_inference() else one._version) for one in tensors)
    key = (physics.tissues, *place, *versions)
    known = _MADE.setdefault(subject, {})
    if form not in known or known[form].key != key:
        if patient is not None:
            subject = copy(subject)
            alone = hu.detach().masked_fill(patient.attenuation.to(hu.device)[None] == 0, -1000)
            subject.volume = Volume(alone, drr.subject.volume.affine)
        made = PreparedTissues.of(subject, physics.tissues, drr.dtype)
        values = made.volume.values.to(drr.device)
        known[form] = _Made(key, made.materials, Pyramid(Prepared.of(values, drr.world_to_voxel)))
    return Polychromatic([known[form].pyramid], TissueBeam.of(physics, known[form].materials))


def _is_upright(drr: DRR) -> bool:
    """Whether what is cut out of the CT lies on its own grid."""
    volume = drr.subject.volume
    return bool(volume.to_canonical().affine.tolist() == volume.affine.tolist())
