"""A small sweep in the cockpit."""

import time

import torch

from raygrad._cockpit import OpenSweep, SweepSession
from raygrad._cockpit import _server as _server  # every command is known then
from raygrad._cockpit._commands import call as call_command
from raygrad.geometry import VolumeGeometry
from raygrad.geometry.trajectories import circular
from raygrad.projector import Projector

VIEWS = circular(12, sdd=600.0, sid=400.0, height=16, width=20, delx=5.0)
GRID = VolumeGeometry.centred((16, 14, 12), (3.0, 3.0, 3.0))


def _images():
    volume = GRID.zeros()
    volume[4:12, 3:10, 2:9] = 0.02
    volume[6:8, 5:8, 4:6] = 0.05
    return Projector(GRID, VIEWS)(volume)


with torch.no_grad():
    IMAGES = _images()


def open_session(**more):
    """The sweep, open."""
    names = [f"view {number}" for number in range(1, 13)]
    return SweepSession(OpenSweep("sweep", IMAGES, VIEWS, names, GRID, **more))


def call(session, name, **arguments):
    """As a page does."""
    return call_command(session, name, arguments)


def wait(session, seconds=30.0):
    """Until nothing is being done."""
    end = time.perf_counter() + seconds
    while session.jobs.current is not None:
        assert time.perf_counter() < end
        time.sleep(0.01)
