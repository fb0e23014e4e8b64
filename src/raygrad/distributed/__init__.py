"""Views shared among processes, on the GPUs of one machine or of many, by `torch.distributed`.

Every process holds the whole volume and its own views, a block of neighbours. What travels is one sum of volumes over
all processes a back projection, and a few numbers. The same code runs in one process and in many:

```python
with join_processes() as processes:  # under torchrun; else this process alone
    projector, images = shard(projector, images, processes)
    result = Sirt()(projector, images)  # the same volume in every process
```
"""

from raygrad._processes import Processes as Processes
from raygrad.distributed._group import Group as Group
from raygrad.distributed._group import WorkerLostError as WorkerLostError
from raygrad.distributed._group import join_processes as join_processes
from raygrad.distributed._projector import ShardedProjector as ShardedProjector
from raygrad.distributed._projector import shard as shard

__all__ = [
    "join_processes",
    "shard",
    "ShardedProjector",
    "Processes",
    "Group",
    "WorkerLostError",
]
