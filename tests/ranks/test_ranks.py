"""Rung 5: n ranks do what one does, n in {1, 2, 3, 5, 8} and n larger than the number of points; with Open MPI n in {3, 8}.

Every number of ranks is one launch that runs all checks and says which are done. The first that fails ends its launch, so
those after it were not reached.
"""

import pytest

from tests.hostile import hostile_library
from tests.ranks import cases, check_rollout
from tests.ranks.cases import EXPECTED
from tests.ranks.checks import NAMES, done
from tests.ranks.launch import HOSTILE, Finished, launch, mpiexec

pytestmark = pytest.mark.mpi

WITH_OPEN_MPI = (3, 8)
"""Uneven slices, and more ranks than points."""


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What one process draws, without MPI."""
    path = tmp_path_factory.mktemp("ranks") / "expected.pt"
    with hostile_library():
        cases.save(path, check_rollout.drawn_alone())
    return path


@pytest.fixture(scope="module", params=[1, 2, 3, 5, 8], ids=lambda n: f"{n} ranks")
def launched(request, expected):
    if mpiexec()[1] and request.param not in WITH_OPEN_MPI:
        pytest.skip(f"on {request.param} ranks MPICH's messages are looked at, with Open MPI those on 3 and on 8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(EXPECTED, str(expected))
        patch.setenv(HOSTILE, "1")
        return launch(request.param, "tests.ranks.checks", timeout=180)


def test_all_checks_are_done(launched: Finished):
    missing = [f"{room}: {check}" for room, check in NAMES if done(check) not in launched.stdout]
    if missing or not launched.complete:
        pytest.fail(f"not done: {', '.join(missing) or 'the end'}; {launched.describe()}", pytrace=False)
