"""`check_views` passes raygrad's views, and fails each way of breaking them."""

from dataclasses import replace

import pytest
import torch

from raygrad.geometry import ConeViews as Cone
from raygrad.geometry import Detector, ParallelViews, RayViews, trajectories
from raygrad.pose import RigidTransform, random_rigid_transform
from raygrad.testing import check_views

pytestmark = pytest.mark.usefixtures("one_thread")


def cone_views(dtype=torch.float64, reverse_x_axis=True, kind=Cone, **lengths):
    generator = torch.Generator().manual_seed(3)
    pose = random_rigid_transform(3, generator=generator).to(dtype)
    reorient = random_rigid_transform(1, generator=generator).matrix[0]
    intrinsics = {"sdd": 1000.0, "delx": 1.5, "dely": 2.0, "x0": 7.0, "y0": -4.0} | lengths
    detector = Detector(
        intrinsics["sdd"], 4, 5, *(intrinsics[name] for name in ("delx", "dely", "x0", "y0")), reorient,
        reverse_x_axis=reverse_x_axis,
    )  # fmt: skip
    return kind(detector, pose)


def calibrated_views():
    views = cone_views()
    other = Detector(800.0, 4, 5, 1.0, 1.0, 0.0, 3.0, views.detector.reorient, reverse_x_axis=True)
    own, others = views.detector.calibration.matrix.double(), other.calibration.matrix.double()
    return Cone(views.detector, views.pose, torch.cat([own, others, own]))


def parallel_views():
    generator = torch.Generator().manual_seed(4)
    axes = random_rigid_transform(3, generator=generator).matrix[:, :3, :3].double()
    centre = 50 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
    across, down = 1.2 * axes[..., 0] + 0.2 * axes[..., 2], 0.8 * axes[..., 1] + 0.1 * axes[..., 0]
    return ParallelViews(axes[..., 2], centre, across, down, 4, 5, 400.0)


def views_with_gradients():
    views = cone_views(sdd=torch.tensor(1000.0, dtype=torch.float64, requires_grad=True))
    return Cone(views.detector, RigidTransform(views.pose.matrix.requires_grad_()))


VIEWS = {
    "cone": cone_views,
    "cone, float32": lambda: cone_views(torch.float32),
    "cone, column 0 at -x": lambda: cone_views(reverse_x_axis=False),
    "cone, calibrated": calibrated_views,
    "cone, with gradients": views_with_gradients,
    "parallel": parallel_views,
    "rays of one source": lambda: RayViews(*cone_views().rays(), (4, 5)),
    "rays of many sources": lambda: RayViews(*parallel_views().rays()),
    "circular": lambda: trajectories.circular(4, sdd=1500.0, sid=1000.0, height=4, width=5, delx=6.0),
    "short scan": lambda: trajectories.short_scan(4, sdd=1500.0, sid=1000.0, height=4, width=5, delx=6.0),
    "helical": lambda: trajectories.helical(
        4, turns=2, pitch=30.0, sdd=1500.0, sid=1000.0, height=4, width=5, delx=6.0
    ),
    "C-arm": lambda: trajectories.c_arm_sweep(
        [-20.0, 0.0, 30.0], [0.0, 5.0, 10.0], sdd=1200.0, sid=800.0, height=4, width=5, delx=6.0
    ),
    "laminography": lambda: trajectories.laminography(
        4, tilt_deg=30.0, sdd=1500.0, sid=1000.0, height=4, width=5, delx=6.0
    ),
    "parallel scan": lambda: trajectories.parallel(4, height=4, width=5, delx=6.0),
}


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
def test_raygrads_views_are_views(make):
    check_views(make())


def broken(**changes):
    """Views of a class with these methods in place of the right ones."""
    return cone_views(kind=type("Broken", (_OfItsKind,), changes))


class _OfItsKind(Cone):
    """Cone views of any subclass: what is made of them is of that class, too."""

    def __getitem__(self, indices):
        some = super().__getitem__(indices)
        return type(self)(some.detector, some.pose, some.calibration)

    def _moved(self, device):
        there = super()._moved(device)
        return type(self)(there.detector, there.pose, there.calibration)

    def moved(self, motion):
        moved = super().moved(motion)
        return type(self)(moved.detector, moved.pose, moved.calibration)


def test_a_kind_of_ones_own_may_inherit():
    check_views(broken())


def flat_rays(self):
    source, target = Cone.rays(self)
    return source, target.unflatten(1, self.image_shape)


def upside_down(self):
    source, target = Cone.rays(self)
    return source, target.flip(1)


def first_source(self):
    source, target = Cone.rays(self)
    return source[:1].expand_as(source), target


def at_random(self):
    source, target = Cone.rays(self)
    return source, target + torch.rand_like(target)


BROKEN = {
    "targets by row and column": ({"rays": flat_rays}, r"targets of shape \(3, 20, 3\)"),
    "rays without length": ({"rays": lambda self: (Cone.rays(self)[1],) * 2}, "with a length"),
    "rays at random": ({"rays": at_random}, "the same rays whenever"),
    "one source for all": ({"rays": first_source}, r"sources of views\[1:\] to be theirs"),
    "infinite": ({"rays": lambda self: (Cone.rays(self)[0], Cone.rays(self)[1] / 0)}, "finite targets"),
    "another class": ({"__getitem__": lambda self, i: Cone.__getitem__(self, i)}, "to be Broken. Got ConeViews"),
    "an index ignored": (
        {"__getitem__": lambda self, i: self if isinstance(i, list) else _OfItsKind.__getitem__(self, i)},
        r"2 views in views\[\[2, 0\]\]. Got 3",
    ),
    "all equal": (
        {"__eq__": lambda self, other: isinstance(other, Cone), "__hash__": lambda self: 0},
        "to differ from views without the last",
    ),
    "never equal": ({"__eq__": lambda self, other: self is other, "__hash__": lambda self: 0}, r"views\[:\] == views"),
    "a hash each": ({"__hash__": lambda self: id(self)}, "one hash"),
    "groups too large": ({"split": lambda self, rays_at_once: [self]}, "groups of up to 1 views for 1 rays"),
    "groups that lack some": ({"split": lambda self, rays_at_once: [self[:1]]}, "all sources in order"),
    "joined backwards": (
        {"concatenate": classmethod(lambda cls, parts: _join(cls, parts[::-1]))},
        "taken apart and joined",
    ),
    "nothing to join": (
        {"concatenate": classmethod(lambda cls, parts: _join(cls, parts) if parts else None)},
        "no views to join",
    ),
    "moved the other way": (
        {"moved": lambda self, motion: _OfItsKind.moved(self, motion.inverse())},
        "both ends of every ray moved",
    ),
    "moved in one piece": (
        {"moved": lambda self, motion: _OfItsKind.moved(self, RigidTransform(motion.matrix[:1]))},
        "both ends of every ray moved",
    ),
    "rows from below": ({"rays": upside_down}, "cameras whose pixels are the targets"),
    "cameras elsewhere": (
        {"cameras": lambda self: Cone.cameras(self)._replace(camera_to_world=self.pose.matrix.flip(0))},
        "cameras at the sources",
    ),
    "half a pixel": (
        {"world_to_pixel": property(lambda self: _shifted(Cone.world_to_pixel.fget(self)))},
        "the ray's own pixel",
    ),
    "no parameters": ({"parameters": lambda self: []}, "list of tensors, one or more. Got \\[\\]"),
}


def _join(cls, parts):
    whole = Cone.concatenate(parts)
    return cls(whole.detector, whole.pose, whole.calibration)


def _shifted(world_to_pixel):
    half = torch.eye(3, dtype=torch.float64)
    half[:2, 2] = 0.5
    return half @ world_to_pixel


@pytest.mark.parametrize(("changes", "message"), BROKEN.values(), ids=BROKEN)
def test_what_breaks_a_promise_fails(changes, message):
    with pytest.raises(AssertionError, match=message):
        check_views(broken(**changes))


def test_rays_that_forget_their_gradient_fail():
    class Forgetful(_OfItsKind):
        def rays(self):
            source, target = super().rays()
            return source.detach(), target.detach()

    views = views_with_gradients()
    with pytest.raises(AssertionError, match="rays that depend on the parameters"):
        check_views(Forgetful(views.detector, views.pose))


def test_what_cannot_be_checked_is_refused():
    with pytest.raises(TypeError):
        check_views(cone_views().rays())
    with pytest.raises(ValueError, match="at least two views"):
        check_views(cone_views()[:1])
    with pytest.raises(ValueError, match="at least two views"):
        check_views(replace(parallel_views(), height=1, width=1))
