"""A bundled study at smoke scale, for the test files that name one in ``STUDY``."""

from __future__ import annotations

import pytest

import bequest as bq
from bequest.runs.planning import planned


@pytest.fixture(scope="module")
def smoke_run(request, tmp_path_factory, one_worker_here_all_along):
    """The study, run in this process."""
    out = tmp_path_factory.mktemp("run") / "run"
    return bq.run(request.module.STUDY, scale="smoke", workers=1, out=out)


@pytest.fixture(scope="module")
def plan(request):
    """Its plan."""
    return planned(request.module.STUDY, scale="smoke")
