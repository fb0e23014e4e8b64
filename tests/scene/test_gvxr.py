"""The same mesh from the same place as gVXR draws it, with OpenGL."""

import numpy as np
import pytest
from scene_cases import cone_views, icosphere, shifted

from raygrad.scene import Mesh, Scene

pytestmark = pytest.mark.peers
ATTENUATION = 0.04
ROWS, COLUMNS, PIXEL = 90, 120, 1.0


def bent_bottle():
    """A closed mesh without symmetry, with a cavity: rays cross it up to four times."""
    points, faces = icosphere(1.0, 4)
    x, y, z = (points * [20.0, 14.0, 30.0]).T
    outside = np.stack([x * (1 + 0.01 * z) + 0.02 * z**2, y + 4 * np.sin(z / 9), z + 0.3 * x], axis=1)
    return np.concatenate([outside, outside * 0.6]), np.concatenate([faces, faces[:, ::-1] + len(points)])


@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (0.9, 0.3, -0.2)])
def test_images_are_those_of_gvxr(gvxr, angles):
    views = cone_views(ROWS, COLUMNS, delx=PIXEL, angles=(angles,))
    body = Mesh(bent_bottle(), material=ATTENUATION, pose=shifted(4.0, -8.0, 6.0, turn=(0.4, 0.2, -0.5)))
    ours = Scene([body]).render(views)[0, 0].numpy()

    source, target = views.rays()
    target = target.reshape(ROWS, COLUMNS, 3).numpy()
    gvxr.removePolygonMeshesFromXRayRenderer()
    gvxr.setMonoChromatic(60, "keV", 1)
    gvxr.usePointSource()
    gvxr.setSourcePosition(*source.flatten().tolist(), "mm")
    gvxr.setDetectorPosition(*target.mean((0, 1)).tolist(), "mm")
    gvxr.setDetectorUpVector(*((target[0, 0] - target[1, 0]) / PIXEL).tolist())
    gvxr.setDetectorRightVector(*((target[0, 1] - target[0, 0]) / PIXEL).tolist())
    gvxr.setDetectorNumberOfPixels(COLUMNS, ROWS)
    gvxr.setDetectorPixelSize(PIXEL, PIXEL, "mm")
    name = f"bottle {angles}"
    points = body.pose(body.vertices[None])[0]
    gvxr.makeTriangularMesh(name, points.flatten().tolist(), body.faces.flatten().tolist(), "mm")
    gvxr.addPolygonMeshAsInnerSurface(name)
    gvxr.setLinearAttenuationCoefficient(name, 10 * ATTENUATION, "cm-1")
    photons = np.array(gvxr.computeXRayImage(False))[::-1]  # its first row is the lowest
    theirs = -np.log(photons / photons.max())

    assert ours.max() > 1
    # gVXR draws triangles in single precision, and its pixels on an edge may belong to the neighbouring triangle.
    apart = np.abs(theirs - ours)
    assert np.median(apart[ours > 0]) < 1e-4
    assert (apart > 1e-3).mean() < 1e-3
    assert np.linalg.norm(apart) / np.linalg.norm(ours) < 1e-3
    assert ((theirs > 1e-5) != (ours > 1e-5)).mean() < 1e-3
