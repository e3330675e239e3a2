"""What is said before sampling where parallelism in time cannot pay."""

import pytest

from parampi.parallel import Layout
from parampi.run.advice import advice, overlap_advice


@pytest.mark.parametrize(
    ("ranks", "time_ranks", "window", "cores", "device", "words"),
    [
        (4, 1, 32, 8, "cpu", "one rank per group"),
        (4, 1, 32, 8, "cuda", "one rank per group"),
        (4, 2, 32, 2, "cpu", "4 ranks share the 2 cores"),
        (4, 2, 32, 2, "cuda", ""),
        (4, 2, 32, 4, "cpu", ""),
        (4, 4, 3, 8, "cpu", "4 ranks share windows of 3 points; 1 of them idle"),
        (4, 4, 1, 8, "cpu", "3 of them idle"),
        (4, 1, 1, 2, "cpu", ""),
    ],
)
def test_advice_is_given_where_it_is_due(ranks: int, time_ranks: int, window: int, cores: int, device: str, words: str) -> None:
    said = advice(Layout(ranks, 4, time_ranks), window, ranks, cores, device)
    assert words in said and bool(said) == bool(words)


@pytest.mark.parametrize(
    ("members", "device", "words"),
    [(1, "cuda", "so that no two halves alternate"), (4, "cpu", "hides nothing on a CPU"), (2, "cuda", "")],
)
def test_overlap_from_which_nothing_can_come_is_told(members: int, device: str, words: str) -> None:
    said = overlap_advice(members, device)
    assert words in said and bool(said) == bool(words)
