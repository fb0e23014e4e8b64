"""Registrations that cannot come out right: how many of them say that they did.

OMP_NUM_THREADS=1 python benchmarks/hopeless.py --cases 20                  # of each kind, on the built-in thorax
RAYGRAD_CHEST_CT=/folder python benchmarks/hopeless.py --ct chest           # on a real chest

X-rays are line integrals of a CT with some noise, seen from the front, the side and in between, and then spoilt: told
wrongly, of another body, or of nothing. Each is registered from some degrees and cm beside where it was taken from. As
a control the same X-rays are registered as they are: of these all should converge.
"""

import argparse
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import torch

import raygrad as rg
from raygrad.data import Volume
from raygrad.evaluation import make_generator
from raygrad.geometry import Intrinsics
from raygrad.pose import RigidTransform, convert, se3_exp_map
from raygrad.registration import Status

CAMERA = Intrinsics(sdd=1020.0, height=200, width=200, delx=2.0, dely=2.0)
OFF = torch.tensor([12.0, 25.0, 12.0, 0.12, 0.12, 0.12], dtype=torch.float64)
"""Standard deviations of where registrations begin: mm, and radians about the world's axes."""

STRETCHES = torch.tensor([0.85, 1.0, 1.18], dtype=torch.float64)
"""Of another patient along the axes of the world."""

Spoil = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def _noise(image: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    smooth = torch.nn.functional.interpolate(
        torch.randn(1, 1, 12, 12, generator=draw), size=image.shape[-2:], mode="bicubic"
    )
    return (smooth - smooth.min()) * image.max() / (smooth.max() - smooth.min())


def _shuffled(image: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Its quarters, each in another's place."""
    rows = [half.chunk(2, -1) for half in image.chunk(2, -2)]
    (a, b), (c, d) = rows
    return torch.cat([torch.cat([d, c], -1), torch.cat([b, a], -1)], -2)


SPOILT: dict[str, Spoil] = {
    "as it is (control)": lambda image, _: image,
    "mirrored": lambda image, _: image.flip(-1),
    "upside down": lambda image, _: image.flip(-2),
    "noise": _noise,
    "quarters exchanged": _shuffled,
    "black and white exchanged": lambda image, _: image.amax() - image,
}
CAMERAS = {"pixels twice as large": 2.0, "pixels half as large": 0.5}


def main() -> None:
    """Register all, and print a row for each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=20, help="of each kind")
    parser.add_argument("--ct", choices=("example", "chest"), default="example")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    subject = rg.load_example_ct(shape=(256, 256, 133)) if options.ct == "example" else rg.load_chest_ct()
    print(f"raygrad {rg.__version__}, torch {torch.__version__}; {options.ct}, {options.cases} cases of each kind\n")
    print("| the X-ray | converged | of | other statuses |\n| --- | --- | --- | --- |")
    kinds = [*SPOILT, *CAMERAS, "another patient"]
    for kind in kinds:
        statuses = Counter(case(kind, number, subject) for number in range(options.cases))
        others = ", ".join(f"{count} {status}" for status, count in statuses.most_common() if status != "converged")
        print(f"| {kind} | {statuses['converged']} | {options.cases} | {others} |", flush=True)


def case(kind: str, number: int, subject: rg.Subject) -> str:
    """The status that one registration ends with."""
    draw = make_generator(number, kind)
    turn = torch.tensor([[float(torch.rand((), generator=draw)) * 90.0, 0.0, 0.0]], dtype=torch.float64)
    turn = turn + 6 * torch.randn(1, 3, generator=draw, dtype=torch.float64)
    shift = torch.tensor([[0.0, 850.0, 0.0]], dtype=torch.float64) + 15 * torch.randn(1, 3, generator=draw).double()
    truth = convert(turn, shift, parameterization="euler_angles", convention="ZXY", degrees=True)
    seen = subject
    if kind == "another patient":
        seen = _stretched(subject, STRETCHES[torch.randperm(3, generator=draw)])  # not all alike: that is another depth
    image = _drr(seen, CAMERA)(truth.to(torch.float32)).detach()
    image = image + 0.01 * image.max() * torch.randn(image.shape, generator=draw)
    image = SPOILT.get(kind, SPOILT["as it is (control)"])(image, draw)
    camera = replace(CAMERA, delx=2.0 * CAMERAS.get(kind, 1.0), dely=2.0 * CAMERAS.get(kind, 1.0))
    off = RigidTransform(se3_exp_map((torch.randn(6, generator=draw).double() * OFF)[None]))
    result = rg.register(image, _drr(subject, camera), truth.compose(off))
    status = result.status[result.best]
    return str(status) if status is not Status.CONVERGED else "converged"


def _drr(subject: rg.Subject, camera: Intrinsics) -> rg.DRR:
    return rg.DRR(subject, sdd=camera.sdd, height=camera.height, width=camera.width, delx=camera.delx, dely=camera.dely)


def _stretched(subject: rg.Subject, factors: torch.Tensor) -> rg.Subject:
    """The same patient, wider and shorter."""
    affine = subject.volume.affine.copy()
    affine[:3] *= factors.numpy()[:, None]
    other = rg.Subject(Volume(subject.volume.data, affine), orientation=subject.orientation)
    return other


if __name__ == "__main__":
    main()
