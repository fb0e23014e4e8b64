"""A closed mesh like an implant, of as many triangles as wanted."""

import numpy as np

RADIUS = 26.0
"""Of the cup, in mm."""


def cup(around: int = 250, along: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """A hip cup with flutes on its outside and a hole for a screw at its pole: 2 * around * along triangles.

    A closed line, turned about z: the outer sphere from the hole to the rim, the rim, the inner sphere back to the
    hole, and the wall of the hole. By default 50,000 vertices and 100,000 triangles, edges of half a millimetre.

    Returns:
        Vertices (n, 3) in mm, and triangles (m, 3) that are turned outwards.
    """
    outer, rim = along // 2, along // 20
    wall = rim
    inner = along - outer - rim - wall
    hole, edge = 0.12, np.pi / 2
    polar = np.linspace(hole, edge, outer, endpoint=False)
    back = np.linspace(edge, hole * 1.2, inner, endpoint=False)
    line = [RADIUS * np.stack([np.sin(polar), np.cos(polar)], axis=1)]
    line.append(np.stack([np.linspace(RADIUS, RADIUS - 4, rim, endpoint=False), np.zeros(rim)], axis=1))
    line.append((RADIUS - 4) * np.stack([np.sin(back), np.cos(back)], axis=1))
    ends = [line[2][-1] + (line[2][-1] - line[2][-2]), line[0][0]]
    line.append(np.linspace(*ends, wall, endpoint=False))
    flutes = np.zeros(along)
    flutes[:outer] = 0.8 * np.sin(np.linspace(0, np.pi, outer)) ** 2

    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)[:, None]
    radius, height = np.concatenate(line).T
    radius = radius + flutes * np.cos(24 * angle)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.broadcast_to(height, radius.shape)], axis=-1)

    number = np.arange(around * along).reshape(around, along)
    a, b = number, np.roll(number, -1, axis=0)
    d, c = np.roll(a, -1, axis=1), np.roll(b, -1, axis=1)
    triangles = np.stack([np.stack([a, d, c], axis=-1), np.stack([a, c, b], axis=-1)], axis=2)
    return points.reshape(-1, 3), triangles.reshape(-1, 3)
