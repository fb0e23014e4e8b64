"""The names of the files that volumes are read from and written to."""

from typing import NamedTuple


class VolumeFile(NamedTuple):
    """How a file with this suffix is treated. SimpleITK reads all that nibabel does not, other suffixes too."""

    by_nibabel: bool = False
    written: bool = False
    compressed: bool = False


VOLUME_FILES = {
    ".nii.gz": VolumeFile(by_nibabel=True, written=True, compressed=True),
    ".nii": VolumeFile(by_nibabel=True, written=True),
    ".nrrd": VolumeFile(written=True, compressed=True),
    ".mha": VolumeFile(written=True, compressed=True),
    ".hdr": VolumeFile(by_nibabel=True),
    ".img": VolumeFile(by_nibabel=True),
    ".img.gz": VolumeFile(by_nibabel=True),
    ".mgh": VolumeFile(by_nibabel=True),
    ".mgz": VolumeFile(by_nibabel=True),
}
