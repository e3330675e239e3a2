"""Short campaigns; `python -m tests.campaign` runs long ones."""

import pytest

from tests.campaign import damage, mutations

pytestmark = pytest.mark.slow


def test_damaged_bytes(tmp_path):
    tally = damage.campaign(tmp_path, count=5, seed=11)
    assert not tally.troubles, tally
    assert sum(tally.outcomes.values()) == 5 * len(damage.KINDS)


def test_mutated_configurations(tmp_path):
    tally = mutations.campaign(tmp_path, count=300, seed=12)
    assert not tally.troubles, tally
    assert tally.outcomes["taken"] > 10 and tally.outcomes["refused"] > 100
