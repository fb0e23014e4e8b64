"""Knee implants in real fluoroscopy, without masks: how many are found, from how far, and followed through frames.

    python benchmarks/fluoroscopy.py FOLDER [--starts 1] [--reduce 2] [--level near far track]

FOLDER has one folder for each knee, as JointTrack Machine Learning (JTML, Miller Orthopaedic Biomechanics Laboratory)
publishes them: frames (.tif), meshes (*_fem.stl, *_tib.stl), published poses (fem.jts, tib.jts), and label images in
`labels`. Starts are off the published pose by up to so much on every axis:

| level | degrees | mm | mm in depth |
| near | 5 | 5 | 15 |
| far | 10 | 15 | 40 |
"""

import argparse
import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d

import raygrad as rg
from raygrad.geometry import ConeViews, Detector, Intrinsics
from raygrad.pose import RigidTransform, make_reorient
from raygrad.registration import RegistrationResult, Status, to_line_integrals, track

SDD, PIXEL, SIDE = 1198.0, 0.373, 1024
LEVELS = {"near": (5.0, 5.0, 15.0), "far": (10.0, 15.0, 40.0)}


@dataclass(frozen=True)
class Case:
    """An implant in a frame: the X-ray, where its label is, and the published pose as z, x, y in mm and degrees."""

    name: str
    scene: rg.Scene
    xray: torch.Tensor
    label: np.ndarray
    row: np.ndarray


def camera_to_implant(row: np.ndarray) -> np.ndarray:
    """The camera in the implant's frame: JT_EULER_312 is Rz Rx Ry of the object in a camera that looks along -z."""
    z, x, y = np.radians(row[3:])
    rz = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    rx = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    ry = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    rotation, pose = np.array(rz) @ np.array(rx) @ np.array(ry), np.eye(4)
    pose[:3, :3] = rotation.T @ np.diag([-1.0, 1.0, -1.0])
    pose[:3, 3] = -rotation.T @ row[:3]
    return pose


def sequences(folder: Path, reduce: int) -> Iterator[list[Case]]:
    """The frames of every implant, in order."""
    for knee in sorted(path for path in folder.iterdir() if path.is_dir()):
        for part in ("fem", "tib"):
            scene = rg.Scene([rg.Mesh(next(knee.glob(f"*_{part}.stl")), material="titanium", name="implant")])
            lines = [line.replace(",", " ").split() for line in (knee / f"{part}.jts").read_text().splitlines()[2:]]
            rows = [np.array(line, float) for line in lines if len(line) == 6]
            cases = []
            for frame, row in zip(sorted(knee.glob("*.tif")), rows, strict=True):
                counts = torch.from_numpy(np.array(Image.open(frame)).astype(np.float32))
                label = np.array(Image.open(knee / "labels" / f"{frame.stem}_label_{part}.tif"))
                label = (label[..., 0] if label.ndim == 3 else label) > 127
                xray = avg_pool2d(to_line_integrals(counts)[None, None], reduce)
                cases.append(Case(f"{knee.name}/{frame.stem}/{part}", scene, xray, label, row))
            yield cases


def views(poses: list[np.ndarray], reduce: int) -> ConeViews:
    """The fluoroscope from these poses."""
    size, pixel = SIDE // reduce, PIXEL * reduce
    intrinsics = Intrinsics(sdd=SDD, height=size, width=size, delx=pixel, dely=pixel)
    matrices = torch.from_numpy(np.stack(poses)).double()
    return ConeViews(Detector.of(intrinsics, make_reorient(None)), RigidTransform(matrices))


def start(row: np.ndarray, level: str, seed: list[int]) -> np.ndarray:
    """A pose off the published one."""
    degrees, mm, deep = LEVELS[level]
    return camera_to_implant(row + np.random.default_rng(seed).uniform(-1, 1, 6) * [mm, mm, deep, *[degrees] * 3])


def judge(case: Case, result: RegistrationResult) -> tuple[float, float]:
    """The overlap with the label, and degrees from the published pose."""
    found = result.bodies["implant"].poses[0].matrix[0].double().numpy()
    shadow = case.scene.silhouettes(views([found], 1)).reshape(SIDE, SIDE).numpy()
    cosine = (np.trace(camera_to_implant(case.row)[:3, :3].T @ found[:3, :3]) - 1) / 2
    return (shadow & case.label).sum() / (shadow | case.label).sum(), math.degrees(math.acos(min(1.0, cosine)))


def report(level: str, rows: list[tuple[float, float, Status, float]]) -> str:
    """A row of the table."""
    overlap, turn, seconds = (np.array([row[i] for row in rows]) for i in (0, 1, 3))
    told = np.array([row[2] is Status.CONVERGED for row in rows])
    close = turn < 2
    cells = [
        level, len(rows), f"{(close & (overlap > 0.95)).mean():.0%}", f"{close.mean():.0%}", f"{(told & close).sum()}",
        f"{(told & ~close).sum()}", f"{np.median(overlap):.3f}", f"{np.median(turn):.2f}", f"{np.median(seconds):.1f}",
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    """Register, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--starts", type=int, default=1)
    parser.add_argument("--reduce", type=int, default=2, help="so many pixels become one, along each side")
    parser.add_argument("--level", nargs="*", default=["near", "far", "track"])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    table = {level: [] for level in arguments.level}
    for number, cases in enumerate(sequences(arguments.folder, arguments.reduce)):
        for level in arguments.level:
            if level == "track":
                init = views([start(cases[0].row, "near", [number, 0, 0])], arguments.reduce)
                began = time.process_time()
                frames = track([case.xray for case in cases], init, cases[0].scene).frames
                seconds = [(time.process_time() - began) / len(cases)] * len(cases)
                results = list(zip(cases, frames, seconds, strict=True))
            else:
                results = []
                for place, case in enumerate(cases):
                    for k in range(arguments.starts):
                        began = time.process_time()
                        init = views([start(case.row, level, [number, place, k])], arguments.reduce)
                        found = rg.register(case.xray, init, case.scene)
                        results.append((case, found, time.process_time() - began))
            for case, result, seconds_of_one in results:
                overlap, turn = judge(case, result)
                table[level].append((overlap, turn, result.status[0], seconds_of_one))
                print(f"{level:5} {case.name:28} {overlap:.3f} {turn:5.1f} deg  {result.status[0]}", flush=True)
    head = (
        "| start | cases | within 2 degrees, overlap > 0.95 | within 2 degrees | of these converged | others converged"
    )
    print(f"\n{head} | median overlap | median degrees | CPU seconds |\n" + "| --- " * 9 + "|")
    for level, rows in table.items():
        print(report(level, rows))


if __name__ == "__main__":
    main()
