"""Files for the tests of the command line."""

import nibabel
import numpy as np


def save_lopsided_ct(path, spacing):
    """A block of fat, muscle and bone in air, no axis or direction like another; returns the path."""
    hu = np.full((20, 24, 28), -1000, dtype=np.int16)
    hu[4:12, 3:20, 6:26] = -100
    hu[5:12, 4:14, 6:24] = 100
    hu[5:9, 8:12, 7:20] = 900
    nibabel.save(nibabel.Nifti1Image(hu, np.diag([*spacing, 1.0])), path)
    return path
