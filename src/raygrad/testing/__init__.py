"""Proofs for what you add to raygrad: a metric, a method of reconstruction, views, a backend.

Each check runs what you hand it on small problems of its own and raises an AssertionError, whose sentence says what was
expected and what came, at the first promise that is not kept. They are what raygrad's own metrics, methods, views and
backends pass, and need torch and numpy only:

```python
from raygrad.testing import check_metric


def test_my_metric():
    check_metric(MyMetric())
```
"""

from raygrad.testing._backend import check_backend as check_backend
from raygrad.testing._metric import check_metric as check_metric
from raygrad.testing._solver import check_solver as check_solver
from raygrad.testing._views import check_views as check_views

__all__ = ["check_metric", "check_views", "check_solver", "check_backend"]
