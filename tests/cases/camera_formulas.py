"""Points of the world, and where formulas of other programs' own see them: for geometry files of all kinds."""

import numpy as np
import roma

POINTS = np.random.default_rng(0).normal(size=(7, 3)) * 50


def pixels_of(views):
    """Where views see the points: (view, point, 2), pixel centres at whole numbers."""
    u, v, w = (views.world_to_pixel.numpy() @ np.c_[POINTS, np.ones(len(POINTS))].T).transpose(1, 0, 2)
    assert (w > 0).all()
    return np.stack([u / w, v / w], axis=-1)


def assert_pixels(found, expected, atol=2e-3):
    np.testing.assert_allclose(found, expected, atol=atol, rtol=0)


def random_pinhole(rng):
    """K, R and t of a camera that looks at the origin, roughly."""
    camera = np.array([[300.0 + rng.normal(), 0, 4 + rng.normal()], [0, 400.0, 3 + rng.normal()], [0, 0, 1]])
    rotation = roma.random_rotmat(1)[0].double().numpy()
    rotation = np.linalg.qr(rotation)[0]
    rotation = rotation * np.sign(np.linalg.det(rotation))
    return camera, rotation, np.array([5.0, -7.0, 800.0])


def project(camera, rotation, translation):
    """(point, 2): K (R X + t), divided by its third."""
    seen = camera @ (rotation @ POINTS.T + translation[:, None])
    return (seen[:2] / seen[2]).T


def project_cone_vectors(vectors, points):
    """(view, point, 2) by ASTRA's vectors: the line from the source through a point meets d + a u + b v."""
    found = []
    for vector in np.asarray(vectors):
        s, d, u, v = vector.reshape(4, 3)
        hits = [np.linalg.solve(np.stack([point - s, -u, -v], axis=1), d - s)[1:] for point in points]
        found.append(hits)
    return np.array(found) + np.array([4.0, 2.5])  # from the middle of 6 x 9 pixels to the centre of the first


def turn(axis, angle):
    """The rotation about an axis by the right-hand rule."""
    i, j = [(1, 2), (2, 0), (0, 1)]["xyz".index(axis)]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[j, i], matrix[i, j] = np.sin(angle), -np.sin(angle)
    return matrix
