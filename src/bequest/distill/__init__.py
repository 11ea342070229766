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
    """A package that can be called like its main function, which has the same name."""

    def __call__(self, *values: Any, **named: Any) -> Fitted:
        """See :func:`bequest.distill.fit.distill`."""
        from bequest.distill.fit import distill

        return distill(*values, **named)


# A function bound to this name would hide the package from ``import bequest.distill.x as y``, and
# importing it here would load torch for ``bequest --help``.
sys.modules[__name__].__class__ = _Callable
