"""Growth of rounds, cost and messages with the size of fields."""

import json

import pytest
from torch import Tensor

from parampi.__main__ import main
from parampi.bench import growth
from parampi.errors import ConfigError
from parampi.parallel.threads import on_threads


@pytest.fixture(scope="module")
def rows() -> list[growth.GrowthRow]:
    return growth.measure((8, 32), samplers=["ddim"], timed=2)


def test_rounds_do_not_grow_as_fields_do(rows: list[growth.GrowthRow]) -> None:
    for solver in growth.SOLVERS:
        small, large = (row for row in rows if row.solver == solver)
        assert (small.d, large.d) == (64, 1024) and large.rounds <= 2 * small.rounds, solver


def test_what_a_number_costs_falls_with_their_count(rows: list[growth.GrowthRow]) -> None:
    for row in rows:
        assert row.passes[1] < 1.2 * row.passes[0] and min(row.nanoseconds) > 0, row


def test_a_scan_sends_states_and_the_verdict_next_to_nothing(rows: list[growth.GrowthRow]) -> None:
    for solver in growth.SOLVERS:
        small, large = (row for row in rows if row.solver == solver)
        assert large.scan <= 1.1 * small.scan and large.scan >= 8, "bytes per number"
        assert solver != "Picard" or large.verdict == small.verdict, "it has no shells"


@pytest.mark.parametrize("solver", growth.SOLVERS)
def test_evidence_and_verdict_do_not_grow_with_the_field(solver: str) -> None:
    """Fields of several hundred shells send as many bytes as those of 46; Picard's know none."""

    def pulled(x: Tensor, sigma: Tensor) -> Tensor:
        return x / (1 + sigma.view(-1, 1, 1, 1) ** 2)

    def evidence(shape: tuple[int, ...]) -> int:
        sent = on_threads(2, lambda group, rank: growth.sent(solver, "ddim", shape, pulled, group))
        return max(one.collective_bytes for one in sent)

    assert evidence((1, 64, 64)) == evidence((1, 256, 256)) == evidence((1, 361, 720))
    assert evidence((1, 64, 64)) / growth.ROUNDS <= {"Picard": 72, "Spectral": 608}[solver]


def test_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "growth", "--size", "8", "--solver", "Picard", "--sampler", "ddpm", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["d"] == 64
    with pytest.raises(ConfigError, match="'Newton' is not measured"):
        growth.measure((8,), solvers=["Newton"])
