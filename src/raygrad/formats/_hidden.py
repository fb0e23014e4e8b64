"""What of an X-ray does not count: beyond its aperture, under text, where pixels are dead, and where numbers end."""

import numpy as np
import torch
from torch import Tensor

from raygrad._errors import InputError
from raygrad._hidden import Hidden, hidden_in, hidden_in_array
from raygrad.formats._line_integrals import choose_values, of_one_image
from raygrad.formats._xrays import XRay


def find_hidden(xray: XRay | Tensor | np.ndarray, values: str | None = None) -> Hidden:
    """Find in the picture itself what of an X-ray does not count; what headers declare is not asked for.

    An aperture (of a shutter, collimator or image intensifier) is looked for as a round, rectangular or octagonal
    outline that is a step all along, sharp or with a penumbra; text and graphics as small pieces of the lowest or
    highest value with sharp edges, or near it if three or more of one height stand in a line; dead and hot pixels as
    outliers from all about them, and dead rows and columns as lines of one value or of another gain;
    saturation as an end of the range that far more pixels have than the values beside it. When in doubt nothing is
    hidden: neither the air about a body nor its outline, be the air as bright as the file can say.

    Args:
        xray: from `read_xray`; or an array of line integrals, of any unit and offset, which
            `raygrad.registration.register` looks at by itself.
        values: what a file's numbers are, as for `line_integrals`.

    Raises:
        InputError: other values, or any beside an array; an array that is no image.
    """
    if not isinstance(xray, XRay):
        if values not in (None, "line-integrals") or xray.ndim != 2 or 0 in xray.shape:
            raise InputError(
                "Expected an XRay of read_xray, or an image (height, width) of line integrals. Got an array of shape "
                f"{tuple(xray.shape)} and values={values!r}."
            )
        return hidden_in_array(xray)
    kind = choose_values(values, xray.values)
    if xray.pixels.min() == xray.pixels.max():
        return Hidden(torch.ones_like(xray.pixels))
    integrals = of_one_image(xray.pixels, kind, xray.bone_is_low, xray.full_scale)
    as_stored, as_integrals = (numbers.double().cpu().numpy() for numbers in (xray.pixels, integrals))
    painted = xray.full_scale is not None  # else the numbers are not a picture's
    return hidden_in(as_stored, as_integrals, kind not in ("display", "inverted-display"), painted)
