"""Fixtures for all tests."""

import pytest

from tests.hostile import hostile_library


@pytest.fixture(scope="session", autouse=True)
def hostile():
    """Kernels whose last bits depend on the shapes of a call, in all tests; see tests/hostile.py."""
    with hostile_library():
        yield
