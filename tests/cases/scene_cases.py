"""What tests of scenes share: views, rays, and closed meshes of simple shapes."""

import numpy as np
import torch

from raygrad.data import Subject, Volume
from raygrad.geometry import ConeViews, Detector, Intrinsics, RayViews
from raygrad.kernels import mesh_hits
from raygrad.pose import RigidTransform, convert, make_reorient

TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=float)
TETRAHEDRON_FACES = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])


def ray(source, target):
    """One ray as a view."""
    ends = (torch.tensor([[end]], dtype=torch.float64) for end in (source, target))
    return RayViews(*ends)


def random_rays(count, reach=12.0, seed=0):
    """Rays of a ball's surroundings, many of which pass near the origin."""
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randn(2, count, 3, dtype=torch.float64, generator=generator) * reach
    return RayViews(ends[0][None], ends[1][None])


def cone_views(height=16, width=None, delx=6.0, angles=((0.0, 0.0, 0.0),), sid=850.0, dtype=torch.float64, **lengths):
    """Views of the origin from all sides."""
    system = {"sdd": 1020.0, "height": height, "width": width or height, "delx": delx, "dely": delx} | lengths
    rotation = torch.tensor(angles, dtype=dtype)
    translation = torch.tensor([[0.0, sid, 0.0]], dtype=dtype).expand(len(rotation), 3)
    pose = convert(rotation, translation, parameterization="euler_angles", convention="ZXY")
    return ConeViews(Detector.of(Intrinsics(**system), make_reorient("AP")), pose)


def shifted(x=0.0, y=0.0, z=0.0, turn=(0.0, 0.0, 0.0)):
    """A pose of a body: turned first."""
    rotation = convert(
        torch.tensor([turn], dtype=torch.float64),
        torch.zeros(1, 3, dtype=torch.float64),
        parameterization="euler_angles",
        convention="ZXY",
    ).matrix.clone()
    rotation[0, :3, 3] = torch.tensor([x, y, z], dtype=torch.float64)
    return RigidTransform(rotation)


def cube(half=1.0, centre=(0.0, 0.0, 0.0)):
    """A cube's corners and twelve triangles, turned outwards."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float) * half + centre
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [corner for a, b, c, d in quads for corner in ((a, b, c), (a, c, d))]
    return corners, np.array(faces)


def write_stl(path, corners, faces):
    """A mesh as a binary STL file."""
    stl = np.zeros(len(faces), dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("rest", "<u2")])
    stl["corners"] = corners[faces]
    path.write_bytes(bytes(80) + np.uint32(len(faces)).tobytes() + stl.tobytes())


def icosphere(radius=1.0, rounds=2):
    """A ball of 20 * 4^rounds triangles whose corners lie on the sphere."""
    golden = (1 + 5**0.5) / 2
    corners = [(s, t * golden, 0) for s in (-1, 1) for t in (-1, 1)]
    corners = np.array([*corners, *((0, a, b) for a, b, _ in corners), *((b, 0, a) for a, b, _ in corners)])
    near = np.linalg.norm(corners[:, None] - corners[None], axis=-1) < 2.1
    faces = np.array(
        [(a, b, c) for a in range(12) for b in range(a) for c in range(b) if near[a, b] & near[b, c] & near[a, c]]
    )
    volume = np.linalg.det(corners[faces])
    faces[volume < 0] = faces[volume < 0][:, ::-1]
    corners = [tuple(corner) for corner in corners / np.linalg.norm(corners, axis=-1, keepdims=True)]
    for _ in range(rounds):
        number = {corner: place for place, corner in enumerate(corners)}
        finer = []
        for face in faces:
            a, b, c = (np.array(corners[place]) for place in face)
            between = []
            for one, other in ((a, b), (b, c), (c, a)):
                middle = (one + other) / np.linalg.norm(one + other)
                key = tuple(np.round(middle, 12))
                if key not in number:
                    number[key] = len(corners)
                    corners.append(key)
                between.append(number[key])
            ab, bc, ca = between
            finer += [(face[0], ab, ca), (face[1], bc, ab), (face[2], ca, bc), (ab, bc, ca)]
        faces = np.array(finer)
    return np.array(corners) * radius, faces


def water(size=(20, 20, 20), spacing=2.0, hu=0.0, mask=None, value=None):
    """A block of water about the origin; with `value` its density is that everywhere, in float64."""
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -spacing * (np.array(size) - 1) / 2
    density = None if value is None else torch.full(size, value, dtype=torch.float64)
    return Subject(Volume(torch.full(size, hu), affine), density=density, mask=mask)


def rays_through(points, count, seed=0):
    """Rays (1, ray, 3) between places around a mesh, all beyond it: half of them exactly through its corners."""
    middle = (points.amin(0) + points.amax(0)) / 2
    radius = torch.linalg.vector_norm(points - middle, dim=-1).max()
    generator = torch.Generator().manual_seed(seed)
    ends = torch.nn.functional.normalize(torch.randn(2, count, 3, dtype=torch.float64, generator=generator), dim=-1)
    source, target = middle + 1.5 * radius * ends
    corner = points[torch.randint(len(points), (count // 2,), generator=generator)]
    way = 4 * radius * ends[0, : count // 2]
    source[: count // 2], target[: count // 2] = corner - way, corner + way
    return source[None], target[None]


def check_nothing_leaks(points, faces, source, target, thickness):
    """Rays that begin and end outside enter as often as they leave, and have nothing of a mesh that they pass."""
    hits = mesh_hits(points, faces, source, target)
    rays, length = source.shape[1], torch.linalg.vector_norm(target - source, dim=-1)[0]
    assert not torch.zeros(rays, dtype=torch.int64).index_add(0, hits.ray, hits.sign).any()
    inside = torch.zeros(rays, dtype=torch.float64).index_add(0, hits.ray, hits.fraction * hits.sign) * length
    torch.testing.assert_close(thickness, inside, atol=1e-9, rtol=0)
    met = torch.zeros(rays, dtype=torch.bool).index_fill(0, hits.ray, True)
    assert not thickness[~met].any()
    assert (thickness > -1e-9).all()
    # Beside the mesh's box there is nothing.
    step = target - source
    planes = torch.stack([(points.amin(0) - source) / step, (points.amax(0) - source) / step])
    beside = (planes.amin(0).amax(-1) > planes.amax(0).amin(-1))[0]
    assert beside.sum() > rays // 100
    assert not met[beside].any()
