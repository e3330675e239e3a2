"""`progress=` of `sample` and `rollout`: a bar, or a function of what is finished, on rank 0."""

import pytest
import torch

import parampi
from parampi.errors import ConfigError
from parampi.progress import Watching

SIGMAS = parampi.sigmas.karras(12)


def denoiser(x, sigma):
    return x / (1 + sigma.view(-1, 1, 1, 1) ** 2)


def rollout(**options):
    def conditional(x, sigma, condition):
        return condition + denoiser(x - condition, sigma)

    start = torch.zeros(2, 1, 3, 4)
    return parampi.rollout(conditional, start, (1, 3, 4), 3, sigmas=SIGMAS, solver=parampi.solvers.Picard(), **options)


def rollout_shown(show):
    return rollout(progress=show)


def test_a_function_is_told_after_each_round():
    seen = []
    ensemble = parampi.sample(denoiser, (1, 3, 4), 5, SIGMAS, batch=2, progress=seen.append)
    assert all(isinstance(one, parampi.Progress) for one in seen) and len(seen) == ensemble.report.rounds
    assert [one.rounds for one in seen] == list(range(1, len(seen) + 1))
    shares, finished = [one.share for one in seen], [one.finished for one in seen]
    assert shares == sorted(shares) and finished == sorted(finished) and (shares[-1], finished[-1]) == (1.0, 5)
    assert {2, 4} <= set(finished) and {(one.fields, one.unit, one.groups) for one in seen} == {(5, "member", 1)}
    assert seen[0].seconds_left is None and seen[1].seconds_left > 0 and seen[-1].seconds_left == 0
    assert seen[-1].seconds_per_round > 0 and f"{seen[-1].change:.3e}" == f"{max(ensemble.report.residuals[4][-1].changes):.3e}"
    assert str(seen[-1]).startswith(f"100 %: 5 of 5 members, round {len(seen)}, ")


def test_a_roll_out_counts_fields_of_all_lead_times():
    seen = []
    rollout(progress=seen.append, flight=1)
    assert (seen[-1].finished, seen[-1].fields, seen[-1].unit, seen[-1].share) == (6, 6, "field", 1.0)
    assert {2, 4, 6} <= {one.finished for one in seen}


@pytest.mark.parametrize(
    "draw", [lambda: parampi.sample(denoiser, (1, 3, 4), 3, SIGMAS, progress=True), lambda: rollout(progress=True)]
)
def test_a_bar_is_shown_on_standard_error(draw, capsys):
    fields = len(draw().report.members)
    said = capsys.readouterr()
    last = said.err.rstrip("\n").split("\r")[-1]
    assert not said.out and last.startswith("100 % |") and f"{fields} of {fields} " in last and " s a round, change " in last


def test_a_bar_ends_with_an_error(capsys):
    """Its line is left, so that what is said next begins a line of its own."""

    def fails(x, sigma):
        return denoiser(x, sigma) if sigma.min() > 1 else x * float("nan")

    with pytest.raises(parampi.NonFiniteError):
        parampi.sample(fails, (1, 3, 4), 2, SIGMAS, window=2, progress=True, probe=False)
    assert capsys.readouterr().err.endswith("\n")


@pytest.mark.parametrize(
    "draw", [lambda show: parampi.sample(denoiser, (1, 3, 4), 5, SIGMAS, batch=2, progress=show), rollout_shown]
)
def test_a_display_that_fails_costs_no_member(draw):
    told = []

    def show(progress):
        told.append(progress.rounds)
        return [][progress.rounds - 2]

    with pytest.warns(
        RuntimeWarning, match=r"no longer shown.* goes on: IndexError: list index.*test_progress\.py, line \d+, in show"
    ) as caught:
        shown = draw(show)
    assert told == [1] and len(caught) == 1
    assert torch.equal(shown.fields, draw(None).fields)


def test_a_display_may_be_interrupted():
    def show(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parampi.sample(denoiser, (1, 3, 4), 2, SIGMAS, progress=show)


def test_a_watch_is_called_beside_it():
    seen, watched = [], []
    parampi.sample(denoiser, (1, 3, 4), 2, SIGMAS, progress=seen.append, watch=lambda done, steps: watched.append(done.number))
    assert watched == [one.rounds for one in seen]


@pytest.mark.parametrize("nothing", [None, False])
def test_without_it_nothing_is_shown(nothing, capsys):
    parampi.sample(denoiser, (1, 3, 4), 2, SIGMAS, progress=nothing)
    assert capsys.readouterr() == ("", "")


def test_other_ranks_show_nothing():
    watching = Watching(True, print, rank=1)
    assert watching.after_round is None and Watching(True, None, rank=0).after_round is not None


@pytest.mark.parametrize("progress", ["bar", 1, [print]])
def test_what_cannot_show_is_refused(progress):
    with pytest.raises(ConfigError, match=r"progress = .*; give True for a bar, or a function of a parampi\.Progress"):
        parampi.sample(denoiser, (1, 3, 4), 2, SIGMAS, progress=progress)
