"""Training a student against a signal.

The package can be called: ``bequest.distill(student, data, teachers=[...])`` is
:func:`bequest.distill.fit.distill`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bequest.distill.fitted import Fitted


class _Callable(ModuleType):
    """A package with the name of its main function, which calling it calls."""

    def __call__(self, *values: Any, **named: Any) -> Fitted:
        """See :func:`bequest.distill.fit.distill`."""
        from bequest.distill.fit import distill

        return distill(*values, **named)


sys.modules[__name__].__class__ = _Callable
