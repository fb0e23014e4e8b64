"""X-rays as they come: shutters and collimators of every shape, burned-in text."""

import io

import numpy as np
import torch
from PIL import Image

SHAPES = ("round", "rectangular", "rotated", "octagonal")


def depth_within(kind, size, rng):
    """How far inside of an aperture, of a random place and size, every pixel lies."""
    height, width = size
    shorter = min(size)
    rows, columns = np.mgrid[:height, :width].astype(float)
    down, right = (np.array([height, width]) / 2 + rng.uniform(-0.1, 0.1, 2) * shorter)[:, None, None]
    if kind == "round":
        return rng.uniform(0.3, 0.5) * shorter - np.hypot(rows - down, columns - right)
    if kind == "octagonal":
        turn, offsets = rng.uniform(0, 0.4), np.full(8, rng.uniform(0.3, 0.4))
    else:
        turn, offsets = rng.uniform(-0.7, 0.7) * (kind == "rotated"), np.tile(rng.uniform(0.28, 0.42, 2), 2)
    angles = turn + np.arange(len(offsets)) * 2 * np.pi / len(offsets)
    return np.min(
        [
            offset * shorter - np.cos(angle) * (columns - right) - np.sin(angle) * (rows - down)
            for angle, offset in zip(angles, offsets, strict=True)
        ],
        axis=0,
    )


def counts_of(integrals, photons=20000, seed=0):
    """What a detector counts, of line integrals scaled to 5 at most."""
    generator = torch.Generator().manual_seed(seed)
    return torch.poisson(photons * torch.exp(-integrals * (5 / integrals.max())), generator=generator)


def write_text(image, value):
    """Two lines of strokes burned in, and where they are."""
    strokes = torch.zeros(image.shape, dtype=torch.bool)
    height, width = image.shape
    for column in range(width // 16, width // 3, 6):
        strokes[height // 16 : height // 16 + 9, column : column + 3] = True
    for column in range(2 * width // 3, 15 * width // 16, 7):
        strokes[7 * height // 8 : 7 * height // 8 + 11, column : column + 4] = True
    return torch.where(strokes, torch.tensor(value), image), strokes


def jpeg(grey, quality):
    """Grey levels of 8 bits as they come out of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(grey.round().clamp(0, 255).numpy().astype(np.uint8)).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(file)).astype(np.float32))
