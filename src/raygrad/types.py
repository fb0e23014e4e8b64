"""The vocabulary of shapes that raygrad's signatures are written in.

Axis names: `batch` poses, `ray` X-rays of one image, `channel` structures of a labelmap, `x y z` voxels in
RAS+ order, `point` 3D points. The tests execute every annotation through jaxtyping's import hook.
"""

from jaxtyping import Float, Int, Shaped
from torch import Tensor

__all__ = [
    "Vectors",
    "Rotations",
    "Matrices",
    "Affine",
    "Points",
    "PixelPoints",
    "VoxelGrid",
    "Labels",
    "Sources",
    "Targets",
    "RayImages",
    "RayJacobians",
    "RayValues",
    "MeshVertices",
    "Faces",
    "Images",
    "Scores",
]

Vectors = Float[Tensor, "batch 3"]
"""Positions or directions, one a pose: (batch, 3)."""
Rotations = Float[Tensor, "batch 3 3"]
"""Rotation matrices: (batch, 3, 3)."""
Matrices = Float[Tensor, "batch 4 4"]
"""Maps of homogeneous coordinates, such as poses: (batch, 4, 4)."""
Affine = Float[Tensor, "4 4"]
"""One affine map: (4, 4)."""
Points = Float[Tensor, "batch point 3"]
"""Points in space: (batch, point, 3)."""
PixelPoints = Float[Tensor, "batch point 2"]
"""Points on the detector, column first: (batch, point, 2)."""

VoxelGrid = Float[Tensor, "*batch x y z"]
"""One volume (x, y, z), or one for each pose (batch, x, y, z)."""
Labels = Shaped[Tensor, "x y z"]
"""The structure that each voxel belongs to, whole numbers: (x, y, z)."""
Sources = Float[Tensor, "batch #ray 3"]
"""Where rays begin: (batch, ray, 3), or (batch, 1, 3) where all rays of an image share one source."""
Targets = Float[Tensor, "batch ray 3"]
"""Where rays end: (batch, ray, 3)."""
RayImages = Float[Tensor, "image channel ray"]
"""Images as rows of rays: (batch, channel, ray), or one for each of several volumes along the same rays."""
RayJacobians = Float[Tensor, "image channel ray 6"]
"""The derivatives of images by both ends of every ray, source first: (batch, channel, ray, 6)."""
RayValues = Float[Tensor, "batch ray"]
"""One number for each ray: (batch, ray)."""

MeshVertices = Float[Tensor, "*batch vertex 3"]
"""The corners of one mesh (vertex, 3), or of one for each pose (batch, vertex, 3)."""
Faces = Int[Tensor, "triangle 3"]
"""The triangles of a mesh, by their vertices: (triangle, 3)."""

Images = Float[Tensor, "batch channel height width"]
"""Images: (batch, channel, height, width)."""
Scores = Float[Tensor, " batch"]
"""One number for each image: (batch,)."""
