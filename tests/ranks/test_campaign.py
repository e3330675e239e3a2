"""A short campaign of kills; `python -m tests.campaign kills` runs long ones."""

import pytest

from tests.campaign import kills
from tests.ranks.launch import mpiexec

pytestmark = pytest.mark.mpi


def test_kills(tmp_path):
    count = 4 if mpiexec()[1] else 8  # what is kept of a run is the same with either MPI
    tally = kills.campaign(tmp_path, count=count, seed=13)
    assert not tally.troubles, tally
    assert tally.outcomes["kills"] >= count


def test_kills_of_lead_times_in_flight(tmp_path):
    """On other numbers of ranks, all lead times; `python -m tests.campaign flights --count 20` kills more often."""
    tally = kills.campaign(tmp_path, count=3, seed=4, variants=kills.FLIGHTS)
    assert not tally.troubles, tally
    assert tally.outcomes["kills"] >= 3
