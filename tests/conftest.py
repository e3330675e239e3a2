"""Fixtures for all tests."""

import pytest

from tests.hostile import hostile_library


@pytest.fixture
def hostile():
    """Give kernels whose last bits depend on the shapes of a call, see tests/hostile.py, to tests that compare bits: by
    `pytest.mark.usefixtures("hostile")`."""
    with hostile_library():
        yield
