"""What a method of registration is: a name, its options, and what it can find."""

from typing import ClassVar

from raygrad.registration._result import RegistrationResult
from raygrad.registration._task import Task


class Method:
    """A way from the starts of a registration to the poses. Subclasses are frozen dataclasses; fields are its options.

    Options are checked when the method is made, and tell nothing of X-rays: the same value serves any. Called with a
    `Task` a method registers; `raygrad.register` takes one as `method`, or its name for the options that it has by
    default. To add one is to write its file in `_methods/` and its line in `_methods/registry.py`.

    Attributes:
        name: of the method, as a shorthand and in messages.
        finds: what it can find beside poses: "structures" that move by themselves, "unknowns" of the geometry,
            "bodies" of a scene, what there is to "estimate" of the physics.
    """

    name: ClassVar[str]
    finds: ClassVar[tuple[str, ...]] = ()

    def __call__(self, task: Task) -> RegistrationResult:
        """Register.

        Args:
            task: the X-rays, and what is to be found; `task.watch` is to be called with an `Iteration` after every
                iteration, and ends the run where it returns True.
        """
        raise NotImplementedError
