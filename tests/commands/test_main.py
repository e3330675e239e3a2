"""What `commands/main.py` knows before anything large is loaded."""

import pytest

from parampi.run.launched_rank import launched_rank


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({}, 0),
        ({"PMI_RANK": "3"}, 3),
        ({"OMPI_COMM_WORLD_RANK": "2"}, 2),
        ({"PMIX_RANK": "5"}, 5),
        ({"SLURM_PROCID": "7"}, 7),
        ({"PMI_RANK": "x"}, 0),
    ],
    ids=str,
)
def test_rank_before_mpi_starts(environment, rank):
    assert launched_rank(environment) == rank
