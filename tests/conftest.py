"""Fixtures for all tests, and how the tests are shared among processes."""

import os

# Before torch is loaded: the fields of tests are small, and threads that wait for one another cost more than they save.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.hostile import hostile_library

LONGEST = ("tests/examples/", "tests/test_typing.py")
"""Where tests are that take many seconds each: begun late, they would end long after all others."""
TOGETHER = ("tests/ranks/", "tests/jobs/", "tests/test_wheel.py")
"""Tests that one process has together: launches of ranks, which would wait for one another's; jobs under Slurm, which wait for
its clock; and those of one wheel that is built for all."""


def pytest_xdist_auto_num_workers(config):
    """Return how many processes share the tests: one more than the cores for whole folders, as some tests wait; none beside
    this one for single files."""
    folders = all(os.path.isdir(argument) for argument in config.args)
    return min(len(os.sched_getaffinity(0)), 8) + 1 if folders and not config.option.usepdb else 0


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


class TogetherInOneProcess(LoadScopeScheduling):
    """Give every process one test after another, and some to one process together."""

    def _split_scope(self, nodeid):
        return next((together for together in TOGETHER if nodeid.startswith(together)), nodeid)


def pytest_xdist_make_scheduler(config, log):
    return TogetherInOneProcess(config, log)


@pytest.fixture
def hostile():
    """Give kernels whose last bits depend on the shapes of a call, see tests/hostile.py, to tests that compare bits: by
    `pytest.mark.usefixtures("hostile")`."""
    with hostile_library():
        yield
