"""Triangles from files, and meshes that are mended: what trimesh does for raygrad."""

from pathlib import Path

import numpy as np

from raygrad._errors import InputError
from raygrad._optional import require

SUFFIXES = (".stl", ".ply", ".obj")


def read_mesh(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (n, 3) in float64 and triangles (m, 3) of an STL (both kinds), PLY or OBJ file, as they are there.

    Raises:
        InputError: there is no such file, it is of another kind, or it cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"Expected a mesh as {', '.join(SUFFIXES)}. Got {path}.")
    if not path.is_file():
        raise InputError(f"Expected a file {path}. Got none.")
    trimesh = require("trimesh", "reading meshes", "mesh")
    try:
        mesh = trimesh.load(path, file_type=path.suffix[1:].lower(), force="mesh", process=False, skip_materials=True)
        return np.array(mesh.vertices, dtype=np.float64), np.array(mesh.faces, dtype=np.int64)
    except Exception as error:  # what trimesh raises is as many things as files can lack
        raise InputError(f"Expected triangles in {path}. Got a file that cannot be read: {error}") from error


def mended(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mesh with near vertices joined, holes filled, and triangles turned alike."""
    trimesh = require("trimesh", "repairing meshes", "mesh")
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    size = float((vertices.max(0) - vertices.min(0)).max())
    mesh.merge_vertices(digits_vertex=int(np.ceil(-np.log10(size * 1e-6))))
    mesh.update_faces(mesh.unique_faces() & mesh.nondegenerate_faces())
    trimesh.repair.fill_holes(mesh)
    trimesh.repair.fix_winding(mesh)
    return np.array(mesh.vertices, dtype=np.float64), np.array(mesh.faces, dtype=np.int64)
