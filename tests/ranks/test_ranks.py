"""Rung 5: n ranks do what one does, n in {1, 2, 3, 4, 5, 8} and n larger than the number of points.

Every number of ranks is one launch that runs all checks; each check is one test here. The first that fails ends its launch, so
those after it were not reached.
"""

import pytest

from tests.ranks import cases
from tests.ranks.check_sample import EXPECTED
from tests.ranks.checks import NAMES, done
from tests.ranks.launch import Finished, launch


@pytest.fixture(scope="session")
def expected(tmp_path_factory):
    """What one process draws, without MPI."""
    path = tmp_path_factory.mktemp("ranks") / "expected.pt"
    cases.save(path)
    return path


@pytest.fixture(scope="session", params=[1, 2, 3, 4, 5, 8], ids=lambda n: f"{n} ranks")
def launched(request, expected):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(EXPECTED, str(expected))
        return launch(request.param, "tests.ranks.checks", timeout=180)


@pytest.mark.parametrize(("room", "check"), NAMES)
def test_check(launched: Finished, room, check):
    if done(check) not in launched.stdout:
        pytest.fail(f"{check} was not done: {launched.describe()}", pytrace=False)


def test_all_ranks_came_to_the_end(launched: Finished):
    if not launched.complete:
        pytest.fail(launched.describe(), pytrace=False)
