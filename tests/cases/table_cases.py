"""Bodies on tables, as a CT shows them: of ellipses and plates, with the truth of every voxel."""

import numpy as np

from raygrad.data import Volume

AIR, FAT, TISSUE, LUNG, BONE, CARBON, FOAM = -1000.0, -90.0, 40.0, -850.0, 700.0, -150.0, -950.0


class Scan:
    """A CT being filled: `hu`, and which voxels are the patient's or a thing's.

    Axes are RAS; the table lies at the low end of y.
    """

    def __init__(self, shape=(176, 140, 24), spacing=(2.5, 2.5, 5.0), seed=0, noise=12.0):
        self.spacing = spacing
        self.points = np.stack(
            np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)], indexing="ij")
        )
        self.hu = np.full(shape, AIR)
        self.patient, self.things = np.zeros(shape, bool), np.zeros(shape, bool)
        self.noise = np.random.default_rng(seed).normal(0, noise, shape)

    def put(self, where, hu, patient=True):
        self.hu[where] = hu
        (self.patient if patient else self.things)[where] = True
        (self.things if patient else self.patient)[where] = False
        return self

    def ellipse(self, x, y, a, b, z=(-np.inf, np.inf)):
        px, py, pz = self.points
        return (((px - x) / a) ** 2 + ((py - y) / b) ** 2 <= 1) & (pz >= z[0]) & (pz <= z[1])

    def box(self, x, y, z=(-np.inf, np.inf)):
        return np.all([(p >= s[0]) & (p <= s[1]) for p, s in zip(self.points, (x, y, z), strict=True)], axis=0)

    def limb(self, x, y, a, b):
        """Skin, fat and muscle about a bone."""
        self.put(self.ellipse(x, y, a, b), FAT)
        self.put(self.ellipse(x, y, a - 7, b - 7), TISSUE)
        return self.put(self.ellipse(x, y, a / 4, a / 4), BONE)

    def torso(self, x=0.0, y=0.0, a=150.0, b=95.0, turned=False):
        """A chest with lungs, spine and ribs; prone if turned."""
        way = -1 if turned else 1
        self.put(self.ellipse(x, y, a, b), FAT).put(self.ellipse(x, y, a - 10, b - 10), TISSUE)
        for side in (-1, 1):
            self.put(self.ellipse(x + side * a * 0.45, y, a * 0.38, b * 0.68), LUNG)
        self.put(self.ellipse(x, y - way * b * 0.7, 18, 16), BONE)
        return self

    def table(self, top=-100.0, thickness=30.0, shell=5.0, curve=0.0, half_width=200.0):
        """A shell of carbon about foam, its upper side at `top` in the middle and `curve` mm higher at its sides."""
        px, py, _ = self.points
        below = top + curve * (px / half_width) ** 2 - py
        wide = np.abs(px) <= half_width
        free = ~self.patient
        self.put(wide & (below >= 0) & (below <= thickness) & free, CARBON, patient=False)
        foam = (np.abs(px) <= half_width - shell) & (below > shell) & (below < thickness - shell) & free
        return self.put(foam, FOAM, patient=False)

    def mattress(self, top, bottom, half_width=190.0, hu=FOAM):
        return self.put(self.box((-half_width, half_width), (bottom, top)) & ~self.patient, hu, patient=False)

    def volume(self, change=None):
        noise = np.where(self.hu == LUNG, 5 * self.noise, self.noise)  # lungs are full of vessels
        hu = np.clip(self.hu + noise, -1024, 3071)
        hu = hu if change is None else change(hu, self.points)
        return Volume(hu.astype(np.float32), np.diag([*self.spacing, 1.0]))
