"""Scenes: bones, implants and instruments, each with its own pose, in one differentiable image.

```python
scene = Scene([Body(ct), Mesh("cup.stl", material="titanium"), Capsule((0, 0, 0), (0, 0, 80), 1.0, material="steel")])
image = scene.render(views, poses={"mesh": pose})
```
"""

from raygrad._attenuation import MATERIALS as MATERIALS
from raygrad.scene._body import Body as Body
from raygrad.scene._joints import Ball as Ball
from raygrad.scene._joints import Fixed as Fixed
from raygrad.scene._joints import Free as Free
from raygrad.scene._joints import Hinge as Hinge
from raygrad.scene._joints import Joint as Joint
from raygrad.scene._joints import Screw as Screw
from raygrad.scene._joints import Slide as Slide
from raygrad.scene._materials import attenuation_of as attenuation_of
from raygrad.scene._mesh import Mesh as Mesh
from raygrad.scene._prepared import PreparedBodies as PreparedBodies
from raygrad.scene._primitives import Capsule as Capsule
from raygrad.scene._primitives import Cone as Cone
from raygrad.scene._primitives import Cylinder as Cylinder
from raygrad.scene._primitives import Spheres as Spheres
from raygrad.scene._scene import Scene as Scene
from raygrad.scene._solid import Placed as Placed
from raygrad.scene._solid import SceneWarning as SceneWarning
from raygrad.scene._solid import Solid as Solid

__all__ = [
    "Scene",
    "Body",
    "Mesh",
    "Capsule",
    "Cylinder",
    "Cone",
    "Spheres",
    "Free",
    "Fixed",
    "Hinge",
    "Ball",
    "Slide",
    "Screw",
    "attenuation_of",
    "MATERIALS",
    "SceneWarning",
    "Solid",
    "Placed",
    "Joint",
    "PreparedBodies",
]

# Lent to other rooms; not for users.
from raygrad.scene._pyramid import VOXELS_PER_PIXEL as VOXELS_PER_PIXEL
from raygrad.scene._pyramid import Pyramid as Pyramid
from raygrad.scene._pyramid import blocks_of as blocks_of
from raygrad.scene._pyramid import reduce_body as reduce_body
