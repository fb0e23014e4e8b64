"""What `scene_render.py` measures: each a way to see one implant, or the CT, from one place."""

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from implants import cup
from scene import load_subject

from raygrad import DRR, ConeViews, RigidTransform, convert
from raygrad.geometry import Detector, Intrinsics
from raygrad.kernels import project_mesh_with_jacobian
from raygrad.march import Marching, Prepared, march
from raygrad.pose import make_reorient
from raygrad.scene import Body, Mesh, Scene

SDD, SID, ANGLES = 1020.0, 850.0, (0.5, 0.2, 0.1)
ATTENUATION = 0.05
"""Of the mesh in 1/mm: so little that gVXR's photons get through."""


@dataclass(frozen=True)
class Sight:
    """Where one looks from: at the isocentre, on a square detector.

    Attributes:
        size: pixels a side.
        width: side of the detector in mm.
    """

    size: int
    width: float

    @property
    def lengths(self) -> dict[str, Any]:
        """The detector as `DRR` takes it."""
        return {"sdd": SDD, "height": self.size, "delx": self.width / self.size}

    def pose(self, numbers: torch.Tensor) -> RigidTransform:
        """The camera's pose from six numbers: Euler angles and translation (1, 6)."""
        return convert(numbers[:, :3], numbers[:, 3:], parameterization="euler_angles", convention="ZXY")

    @property
    def numbers(self) -> torch.Tensor:
        """The six numbers."""
        return torch.tensor([[*ANGLES, 0.0, SID, 0.0]])

    def views(self, numbers: torch.Tensor) -> ConeViews:
        """The same view for scenes."""
        detector = Detector.of(
            Intrinsics(**self.lengths, width=self.size, dely=self.width / self.size), make_reorient("AP")
        )
        return ConeViews(detector, self.pose(numbers))

    @property
    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """Sources and targets (ray, 3) in float64."""
        source, target = self.views(self.numbers.double()).rays()
        return source.expand(target.shape)[0].numpy(), target[0].numpy()

    def weights(self) -> torch.Tensor:
        """What images are weighted with for the pose gradient (1, 1, size, size)."""
        ramp = (torch.arange(self.size) + 0.5) / self.size
        return (1 + torch.cos(3 * ramp)[:, None] + torch.sin(4 * ramp))[None, None]


class Way(ABC):
    """One of those that take turns. `aim` prepares, outside of what is timed; then calls do the work."""

    name: str
    shows_mesh = True
    """Whether its image is that of the mesh alone, in mm."""

    def available(self) -> str | None:
        """None when it can run here, else the reason why not."""
        return None

    @abstractmethod
    def aim(self, sight: Sight, size_of_mesh: tuple[int, int]) -> None:
        """Load everything."""

    @abstractmethod
    def __call__(self) -> Any:
        """What is timed."""

    def image(self) -> np.ndarray | None:
        """Millimetres of the mesh (size, size), if that is what it makes."""
        return None


class OurMesh(Way):
    """The mesh by itself: the image, or the image and the gradient of its weighted sum by six numbers of the pose."""

    def __init__(self, gradient: bool) -> None:
        self.gradient = gradient
        self.name = "raygrad mesh, forward" + (" + pose gradient" if gradient else "")

    def aim(self, sight: Sight, size_of_mesh: tuple[int, int]) -> None:
        """Make the scene."""
        self.sight, self.weights = sight, sight.weights()
        self.scene = self.make_scene(cup(*size_of_mesh))

    def make_scene(self, mesh: tuple[np.ndarray, np.ndarray]) -> Scene:
        """What is rendered."""
        return Scene([Mesh(mesh, material=1.0)])

    def __call__(self) -> Any:
        """Numbers of the pose in, image and gradient out."""
        numbers = self.sight.numbers.requires_grad_(self.gradient)
        image = self.scene.render(self.sight.views(numbers))
        if self.gradient:
            return image, torch.autograd.grad(image, numbers, self.weights.to(image))
        return image

    def image(self) -> np.ndarray | None:
        """As rendered."""
        result = self()
        return (result[0] if self.gradient else result)[0, 0].detach().numpy() if self.shows_mesh else None


class OurSixDerivatives(OurMesh):
    """The mesh with six derivatives of every pixel from one march, as registration takes them."""

    def __init__(self) -> None:
        super().__init__(gradient=False)
        self.name = "raygrad mesh, six derivatives a pixel"

    def __call__(self) -> Any:
        """By the kernel itself."""
        views, mesh = self.sight.views(self.sight.numbers), self.scene.bodies[0]
        return project_mesh_with_jacobian(
            mesh.vertices,
            mesh.faces,
            *views.rays(),
            world_to_pixel=views.world_to_pixel,
            image_width=self.sight.size,
        )

    def image(self) -> np.ndarray:
        """Its first result."""
        return self()[0].reshape(self.sight.size, self.sight.size).numpy()


class OurScene(OurMesh):
    """CT and mesh as one scene, in which metal takes the place of tissue."""

    shows_mesh = False

    def __init__(self, gradient: bool) -> None:
        super().__init__(gradient)
        self.name = self.name.replace("mesh", "CT and mesh")

    def make_scene(self, mesh: tuple[np.ndarray, np.ndarray]) -> Scene:
        """Both."""
        return Scene([Body(load_subject()[0]), Mesh(mesh, material="titanium")])


class OurVolume(Way):
    """The CT by `siddon`, the yardstick: the forward march alone, from rays that are there, or the whole call."""

    shows_mesh = False

    def __init__(self, march_only: bool) -> None:
        self.march_only = march_only
        self.name = "raygrad siddon CT, " + ("forward march" if march_only else "forward")

    def aim(self, sight: Sight, size_of_mesh: tuple[int, int]) -> None:
        """Prepare the CT."""
        subject = load_subject()[0]
        self.sight, self.views = sight, sight.views(sight.numbers)
        self.drr = DRR(subject, **sight.lengths, renderer="siddon")
        self.volume = Prepared.of(self.drr.density, subject.density.world_to_voxel)

    @torch.no_grad()
    def __call__(self) -> Any:
        """One image."""
        if self.march_only:
            return march(self.volume, self.views, Marching("siddon"))
        return self.drr(self.sight.pose(self.sight.numbers))


class TrimeshEmbree(Way):
    """trimesh with Embree (`embreex`): all hits of all rays, or the first of each. Nothing is made of them."""

    def __init__(self, every_hit: bool) -> None:
        self.every_hit = every_hit
        self.name = "trimesh + embree, " + ("all hits" if every_hit else "first hits")

    def available(self) -> str | None:
        """Needs both."""
        try:
            import embreex  # noqa: F401
            import trimesh.ray.ray_pyembree  # noqa: F401
        except ImportError as error:
            return f"{error.name} is not installed"
        return None

    def aim(self, sight: Sight, size_of_mesh: tuple[int, int]) -> None:
        """Build Embree's tree."""
        import trimesh
        from trimesh.ray.ray_pyembree import RayMeshIntersector

        self.sight = sight
        self.intersector = RayMeshIntersector(trimesh.Trimesh(*cup(*size_of_mesh), process=False))
        self.source, target = sight.rays
        way = target - self.source
        self.direction = way / np.linalg.norm(way, axis=1, keepdims=True)
        self()

    def __call__(self) -> Any:
        """Triangles, rays and places of hits."""
        return self.intersector.intersects_id(
            self.source, self.direction, multiple_hits=self.every_hit, return_locations=True
        )

    def image(self) -> np.ndarray | None:
        """The millimetres that lie between hits."""
        if not self.every_hit:
            return None
        triangle, ray, place = self()
        outward = np.sign((self.intersector.mesh.face_normals[triangle] * self.direction[ray]).sum(1))
        far = ((place - self.source[ray]) * self.direction[ray]).sum(1)
        return np.bincount(ray, outward * far, len(self.source)).reshape(self.sight.size, self.sight.size)


class GVXR(Way):
    """gVXR, by OpenGL: one image of one energy. Where there is no GPU, Mesa draws on the CPU."""

    name = "gVXR, forward"

    def available(self) -> str | None:
        """Needs the package, its libraries, and an OpenGL context."""
        try:
            from gvxrPython3 import gvxr
        except ImportError as error:
            return f"gVXR cannot be imported: {error}"
        here = os.getcwd()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)  # its log
            try:
                gvxr.createNewContext("EGL")
            except Exception as error:  # whatever it throws, the others go on
                return f"gVXR has no OpenGL context: {error}"
            finally:
                os.chdir(here)
        self.gvxr = gvxr
        return None

    def aim(self, sight: Sight, size_of_mesh: tuple[int, int]) -> None:
        """Load the mesh onto the GPU."""
        gvxr, size = self.gvxr, sight.size
        source, target = sight.rays
        target = target.reshape(size, size, 3)
        gvxr.removePolygonMeshesFromXRayRenderer()
        gvxr.setMonoChromatic(60, "keV", 1)
        gvxr.usePointSource()
        gvxr.setSourcePosition(*source[0].tolist(), "mm")
        gvxr.setDetectorPosition(*target.mean((0, 1)).tolist(), "mm")
        gvxr.setDetectorUpVector(*_unit(target[0, 0] - target[1, 0]))
        gvxr.setDetectorRightVector(*_unit(target[0, 1] - target[0, 0]))
        gvxr.setDetectorNumberOfPixels(size, size)
        gvxr.setDetectorPixelSize(sight.width / size, sight.width / size, "mm")
        vertices, triangles = cup(*size_of_mesh)
        name = f"cup {sight}"
        gvxr.makeTriangularMesh(name, vertices.ravel().tolist(), triangles.ravel().tolist(), "mm")
        gvxr.addPolygonMeshAsInnerSurface(name)
        gvxr.setLinearAttenuationCoefficient(name, 10 * ATTENUATION, "cm-1")
        self()

    def __call__(self) -> Any:
        """Photons of every pixel, as an array."""
        return np.array(self.gvxr.computeXRayImage(False))

    def image(self) -> np.ndarray:
        """From photons to mm; its row 0 is at the lower edge."""
        photons = self()[::-1]
        return -np.log(photons / photons.max()) / ATTENUATION


def ways() -> list[Callable[[], Way]]:
    """All of them, each made when it is wanted."""
    return [
        lambda: OurMesh(gradient=False),
        lambda: OurMesh(gradient=True),
        OurSixDerivatives,
        lambda: OurVolume(march_only=True),
        lambda: OurVolume(march_only=False),
        lambda: OurScene(gradient=False),
        lambda: OurScene(gradient=True),
        lambda: TrimeshEmbree(every_hit=True),
        lambda: TrimeshEmbree(every_hit=False),
        GVXR,
    ]


def _unit(vector: np.ndarray) -> list[float]:
    return (vector / np.linalg.norm(vector)).tolist()
