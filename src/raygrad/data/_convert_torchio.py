"""Subjects from and to torchio, which DiffDRR and many training pipelines hold their images in."""

from typing import TYPE_CHECKING, Any

from raygrad.data._density import hu_to_density
from raygrad.data._labelmap import as_labels
from raygrad.data._volume import Volume

if TYPE_CHECKING:
    import torchio


def from_torchio_image(image: Any) -> Volume:
    """The Volume of a torchio.ScalarImage or LabelMap, without copying its data.

    Raises:
        ValueError: the image has several channels.
    """
    if image.data.shape[0] != 1:
        raise ValueError(f"Expected a torchio image of one channel. Got shape {tuple(image.data.shape)}.")
    return Volume(image.data, image.affine)


def fields_of_torchio(subject: "torchio.Subject") -> dict[str, Any]:
    """What a `raygrad.data.Subject` is made of, from a torchio.Subject: see `Subject.from_torchio`."""
    attributes: dict[str, Any] = dict(subject)
    if not hasattr(attributes.get("volume"), "affine"):
        raise ValueError(f"Expected a torchio.Subject with an image named 'volume'. Got {sorted(attributes)}.")
    volume = from_torchio_image(attributes.pop("volume"))
    density, mask = attributes.pop("density", None), attributes.pop("mask", None)
    return {
        "volume": volume,
        "density": hu_to_density(volume.data) if density is None else from_torchio_image(density),
        "mask": None if mask is None else as_labels(from_torchio_image(mask)),
        **attributes,
    }


def to_torchio(subject: Any) -> "torchio.Subject":
    """The torchio.Subject of a `raygrad.data.Subject`: see `Subject.to_torchio`."""
    try:
        import torchio
    except ImportError as error:
        raise ImportError('Conversion to torchio needs torchio: pip install "raygrad[torchio]"') from error

    attributes = vars(subject) | {
        name: torchio.ScalarImage(tensor=image.data, affine=image.affine)
        for name, image in (("volume", subject.volume), ("density", subject.density))
    }
    if subject.mask is not None:
        attributes["mask"] = torchio.LabelMap(tensor=subject.mask.data, affine=subject.mask.affine)
    return torchio.Subject(**attributes)
