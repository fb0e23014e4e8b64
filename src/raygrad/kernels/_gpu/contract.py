"""Pose gradients in Triton: a cotangent and the derivatives of every pixel become the gradient for each camera."""

import triton
import triton.language as tl


@triton.jit
def contract_cameras(
    partial, cotangent, jacobian, height, width, n_channels, blocks, PIXELS: tl.constexpr, T: tl.constexpr
):
    """Each program's share of the gradient for the map from pixels to the world, `partial` (batch, block, 4, 4).

    A pixel's target is that map of (right, down, 1, 1), its source that of (0, 0, 0, 1).
    """
    count = height * width
    batch, block = (tl.program_id(0) // blocks).to(tl.int64), tl.program_id(0) % blocks
    pixel = block * PIXELS + tl.arange(0, PIXELS)
    exist = pixel < count
    right = (2 * (pixel % width) - (width - 1)).to(T) * 0.5
    down = (2 * (pixel // width) - (height - 1)).to(T) * 0.5
    partial += (batch * blocks + block) * 16
    for axis in tl.static_range(3):
        by_source, by_target = tl.zeros([PIXELS], T), tl.zeros([PIXELS], T)
        for channel in range(0, n_channels):
            place = (batch * n_channels + channel) * count + pixel
            weight = tl.load(cotangent + place, mask=exist, other=0)
            by_source += weight * tl.load(jacobian + place * 6 + axis, mask=exist, other=0)
            by_target += weight * tl.load(jacobian + place * 6 + 3 + axis, mask=exist, other=0)
        tl.store(partial + axis * 4, tl.sum(by_target * right, axis=0))
        tl.store(partial + axis * 4 + 1, tl.sum(by_target * down, axis=0))
        tl.store(partial + axis * 4 + 2, tl.sum(by_target, axis=0))
        tl.store(partial + axis * 4 + 3, tl.sum(by_target + by_source, axis=0))
    for column in tl.static_range(4):  # the last row of a map of points is always 0, 0, 0, 1
        tl.store(partial + 12 + column, tl.zeros([], T))
