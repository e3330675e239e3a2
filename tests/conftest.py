"""Fixtures for all tests, and how the tests are shared among processes."""

import os

# Before torch is loaded: the fields of tests are small, and threads that wait for one another cost more than they save.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.hostile import hostile_library


def pytest_xdist_auto_num_workers(config):
    """Return how many processes share the tests: the cores for whole folders, none beside this one for single files."""
    folders = all(os.path.isdir(argument) for argument in config.args)
    return min(len(os.sched_getaffinity(0)), 8) if folders and not config.option.usepdb else 0


class RanksInOneProcess(LoadScopeScheduling):
    """Give one process all tests that start ranks: two launches at a time would wait for one another's ranks."""

    def _split_scope(self, nodeid):
        return "ranks" if nodeid.startswith(("tests/ranks/", "tests/jobs/")) else nodeid


def pytest_xdist_make_scheduler(config, log):
    return RanksInOneProcess(config, log)


@pytest.fixture
def hostile():
    """Give kernels whose last bits depend on the shapes of a call, see tests/hostile.py, to tests that compare bits: by
    `pytest.mark.usefixtures("hostile")`."""
    with hostile_library():
        yield
