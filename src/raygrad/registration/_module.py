"""The pose as parameters of a module, for optimisation loops that users write themselves."""

from typing import Any

from torch import Tensor, nn

from raygrad.drr import DRR
from raygrad.pose import RigidTransform, convert


class Registration(nn.Module):
    """A DRR whose pose any of torch's optimisers can move.

    Its parameters are those of the pose, first the rotation's and then the translation's, so that an optimiser can
    give each its own learning rate. A batch of poses is a batch of independent starts.

    Args:
        drr: renders the images.
        rotation, translation: initial parameters (batch, k) and (batch, 3), see `raygrad.pose.convert`. They are
            copied: what is optimised is not the caller's tensor.
        parameterization: what the rotation parameters are, such as "euler_angles".
        convention: for Euler angles, such as "ZXY".

    Example:
        ```python
        registration = Registration(drr, rotation, translation, "euler_angles", "ZXY")
        optimizer = torch.optim.Adam(
            [
                {"params": [registration.rotation], "lr": 5e-2},
                {"params": [registration.translation], "lr": 1.0},
            ],
            maximize=True,
        )
        for _ in range(200):
            optimizer.zero_grad()
            metric(xray, registration()).sum().backward()
            optimizer.step()
        ```

    Raises:
        TypeError, ValueError: what `raygrad.pose.convert` does not make a pose of.
    """

    def __init__(
        self,
        drr: DRR,
        rotation: Tensor,
        translation: Tensor,
        parameterization: str,
        convention: str | None = None,
    ) -> None:
        super().__init__()
        convert(rotation, translation, parameterization=parameterization, convention=convention)
        self.drr = drr
        self._rotation = nn.Parameter(rotation.detach().clone())
        self._translation = nn.Parameter(translation.detach().clone())
        self.parameterization = parameterization
        self.convention = convention

    @property
    def rotation(self) -> nn.Parameter:
        """The rotation's parameters (batch, k)."""
        return self._rotation

    @property
    def translation(self) -> nn.Parameter:
        """The translation's parameters (batch, 3)."""
        return self._translation

    @property
    def pose(self) -> RigidTransform:
        """The poses that the parameters stand for, differentiable in them."""
        return convert(
            self._rotation, self._translation, parameterization=self.parameterization, convention=self.convention
        )

    def forward(self, **kwargs: Any) -> Tensor:
        """The images from `pose`; keyword arguments are those of `DRR.forward`."""
        return self.drr(self.pose, **kwargs)
