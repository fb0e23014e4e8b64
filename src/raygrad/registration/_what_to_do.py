"""What a person does about a registration that ended otherwise than converged: words for any interface."""

from raygrad._progress import Status

WHAT_TO_DO = {
    Status.STALLED: "The pose is not to be trusted: start elsewhere.",
    Status.OUT_OF_ITERATIONS: "It was still moving: go on from where it stopped.",
    Status.AMBIGUOUS: "Another pose fits as well, or a direction stays open. Add an X-ray from another direction, or "
    "start closer to the truth.",
    Status.INCONSISTENT: "Parts of the image tell different motions: breathing, another patient or posture, a wrong "
    "source-to-detector distance or pixel size. Register what is rigid by itself, or hide the rest.",
    Status.NO_MATCH: "The images do not match: start closer, or search; check that bone is bright in the X-ray, its "
    "geometry, and from which side it was taken; hide what the CT lacks.",
}
"""By how it ended."""
