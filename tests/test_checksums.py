"""A bit that flipped on a disk or on a wire is noticed: what is read is what was written, or an error."""

import numpy as np
import pytest
import SimpleITK as sitk

from raygrad._errors import InputError
from raygrad.data import read_volume
from raygrad.formats import read_xray

VALUES = np.random.default_rng(0).integers(-50, 50, (5, 6, 7)).astype(np.int16)


def volume(path):
    return read_volume(path).data.numpy()


def picture(path):
    return read_xray(path).pixels.numpy()


COMPRESSED = {
    "volume.nii.gz": (VALUES, volume),
    "volume.mha": (VALUES, volume),
    "volume.nrrd": (VALUES, volume),
    "xray.nii.gz": (VALUES[0] + 50, picture),
    "xray.mha": (VALUES[0] + 50, picture),
    "xray.nrrd": (VALUES[0] + 50, picture),
    "xray.png": ((VALUES[0] + 50).astype(np.uint8), picture),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", COMPRESSED)
def test_every_flipped_bit_of_compressed_values_is_noticed(tmp_path, name):
    array, read = COMPRESSED[name]
    path = tmp_path / name
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path), useCompression=True)
    content, whole = path.read_bytes(), read(path)
    start = max(content.find(b"\n\n") + 2 if name.endswith("nrrd") else 0, content.find(b"LOCAL\n") + 6, 10)
    read_all_the_same = 0
    for place in range(start, len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            found = read(path)
        except InputError:
            continue
        np.testing.assert_array_equal(found, whole)
        read_all_the_same += 1
    assert read_all_the_same < (len(content) - start) / 4


@pytest.mark.parametrize("name", [name for name in COMPRESSED if name != "xray.png"])
def test_what_is_cut_anywhere_is_noticed(tmp_path, name):
    array, read = COMPRESSED[name]
    path = tmp_path / name
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path), useCompression=True)
    content = path.read_bytes()
    for length in range(1, len(content), 3):
        path.write_bytes(content[:length])
        with pytest.raises(InputError):
            read(path)
