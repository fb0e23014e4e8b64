"""The vocabulary of shapes that raygrad's signatures are written in.

Axis names: `batch` poses, `ray` X-rays of one image, `channel` structures of a labelmap, `x y z` voxels in
RAS+ order, `point` 3D points. The tests execute every annotation through jaxtyping's import hook.
"""

from jaxtyping import Float, Shaped
from torch import Tensor

Vectors = Float[Tensor, "batch 3"]
Rotations = Float[Tensor, "batch 3 3"]
Matrices = Float[Tensor, "batch 4 4"]
Affine = Float[Tensor, "4 4"]
Points = Float[Tensor, "batch point 3"]
PixelPoints = Float[Tensor, "batch point 2"]

VoxelGrid = Float[Tensor, "*batch x y z"]
Labels = Shaped[Tensor, "x y z"]
Sources = Float[Tensor, "batch #ray 3"]
Targets = Float[Tensor, "batch ray 3"]
RayImages = Float[Tensor, "batch channel ray"]
RayJacobians = Float[Tensor, "batch channel ray 6"]

Images = Float[Tensor, "batch channel height width"]
Scores = Float[Tensor, " batch"]
