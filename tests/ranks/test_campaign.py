"""A short campaign of kills; `python -m tests.campaign kills` runs long ones."""

import pytest

from tests.campaign import kills

pytestmark = pytest.mark.mpi


def test_kills(tmp_path):
    tally = kills.campaign(tmp_path, count=8, seed=13)
    assert not tally.troubles, tally
    assert tally.outcomes["kills"] >= 8
