"""Parareal: iterates and rounds against a textbook form, exactness, and what it is not defined for."""

from statistics import median

import numpy as np
import pytest
import torch

from parampi import sigmas
from parampi.bench.rounds import hindsight
from parampi.diffusion.exact import PROBLEMS
from parampi.engine.timetable import formation_rounds
from parampi.errors import ConfigError, NonFiniteError
from parampi.samplers import DDIM, DDPM, EDM, SAMPLERS, DPMpp2S, Heun
from parampi.solvers import Parareal, Serial, check_solver
from parampi.solvers.parareal import beginnings, coarse_steps
from tests.engines import MIXTURE, REGIMES, chain, engine, relative_errors, trajectory

F64 = torch.float64
EVERY = {
    "ddim": (DDIM(), sigmas.vp_linear(23)), "ddpm": (DDPM(), sigmas.vp_linear(23)), "heun": (Heun(), sigmas.karras(12)),
    "edm": (EDM(), sigmas.karras(12)), "2s": (DPMpp2S(), sigmas.karras(12)),
}  # fmt: skip
every_sampler = pytest.mark.parametrize(("sampler", "grid"), EVERY.values(), ids=list(EVERY))


def fine(sampling, x, begin, end):
    """The sampler's own steps through a block, from its beginning alone; also with the denoised field frozen: (F, G)."""
    step_map, columns = sampling.step_map, torch.arange(len(sampling.members))
    ends = []
    for frozen in (False, True):
        states, denoised = [x], []
        for i in range(begin, end):
            ask = not frozen or not denoised
            field = sampling.network(states[-1], step_map.sigmas[i].repeat(len(x))) if ask else denoised[0]
            denoised.append(field)
            new = torch.zeros_like(x)
            for tap in range(min(step_map.taps, i - begin + 1)):
                new = new + step_map.state[i, tap] * states[-1 - tap] + step_map.denoised_weight[i, tap] * denoised[-1 - tap]
            if step_map.stochastic:
                new = new + step_map.noise[i, 0] * sampling.noise(torch.full_like(columns, i), columns)
            states.append(new)
        ends.append(states[-1])
    return ends


def textbook(sampling, ends, iterations):
    """U^p[b] for p = 0 ... iterations, one block after another."""
    begins = [0, *ends[:-1]]
    rows = [[sampling.start()]]
    for begin, end in zip(begins, ends, strict=True):
        rows[0].append(fine(sampling, rows[0][-1], begin, end)[1])
    for _ in range(iterations):
        old, new = rows[-1], [sampling.start()]
        for b, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            f_old, g_old = fine(sampling, old[b], begin, end)
            new.append(fine(sampling, new[b], begin, end)[1] + f_old - g_old)
        rows.append(new)
    return rows


@every_sampler
def test_iterates_are_the_textbooks_in_the_rounds_of_the_timetable(sampler, grid):
    sampling = chain(REGIMES, sampler, grid, members=2)
    solver = Parareal(4)
    ends = solver.ends(None, sampling.step_map).tolist()
    assert len(ends) == 4
    rows = textbook(sampling, ends, 3)
    run = engine(sampling, solver, tolerance=1e-300)
    times = formation_rounds(np.diff([0, *ends]).tolist())
    for p in range(3):
        while run.number <= times[p][4]:
            run.advance()
        assert (run.tail - rows[p][4]).norm() <= 1e-12 * rows[p][4].norm()


@every_sampler
@pytest.mark.parametrize("blocks", [None, 1, 2, 5, 100])
def test_exact_in_no_more_rounds_than_the_serial_sampler(sampler, grid, blocks):
    sampling = chain(MIXTURE, sampler, grid, members=2)
    run = engine(sampling, Parareal(blocks), tolerance=1e-300)
    assert torch.equal(run.run(), trajectory(sampling)[-1])
    assert (run.history.rounds <= sampling.step_map.evaluations).all()
    assert not run.history.error_estimate.any()


def test_after_p_iterations_p_blocks_are_exact():
    sampling = chain(REGIMES, DDPM(), sigmas.vp_linear(20), members=2)
    run, reference = engine(sampling, Parareal(5), tolerance=1e-300), trajectory(sampling)
    while not run.finished:
        run.advance()
        for (number, b), p in run.table.forming.items():
            if number == run.number - 1 and p == b + 1:
                assert torch.equal(run.cohorts[0].ends[b], reference[run.table.ends[b]])


@every_sampler
@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
def test_within_tolerance(sampler, grid, tolerance):
    sampling = chain(REGIMES, sampler, grid, members=4)
    run = engine(sampling, Parareal(), tolerance=tolerance)
    assert (relative_errors(run.run(), trajectory(sampling)[-1]) <= tolerance).all()
    assert (run.history.error_estimate <= tolerance).all()


@pytest.mark.parametrize(("name", "most"), [("gmm64", 28), ("grf64", 28), ("grfmix64", 46)])
def test_rounds_of_the_published_method(name, most):
    """SRDS on the same problems: 28, 28 and 46 rounds to a final error of 1e-3, DDIM of 100 steps, ten blocks of ten."""
    sampling = chain(PROBLEMS[name](), DDIM(), sigmas.vp_linear(100), members=3, mode="fast")
    serial = engine(sampling, Serial(), mode="fast").run()
    assert median([hindsight(sampling, Parareal(10), serial)]) <= most


def test_timetable_of_equal_blocks():
    times = formation_rounds([10] * 10)
    assert all(times[p][b] == 10 * p + b - p for p in range(11) for b in range(p, 11))


@pytest.mark.parametrize("lengths", [[3, 4, 3], [2, 7, 2, 5], [5], [2] * 9])
def test_timetable_is_exact_when_the_serial_sampler_is_and_never_forms_two_iterates_at_once(lengths):
    times = formation_rounds(lengths)
    for p in range(len(lengths) + 1):
        assert times[p][p] == sum(lengths[:p])
    for b in range(1, len(lengths) + 1):
        rounds = [times[p][b] for p in range(b + 1)]
        assert rounds == sorted(set(rounds))


def test_coarse_steps_carry_constants():
    """What is data already stays: carry + pull = 1, and for DDIM the coarse step is one long step."""
    step_map = DDIM().steps(sigmas.vp_linear(20))
    for k, coarse in enumerate(coarse_steps(step_map, [5, 10, 15, 20], 1.0)):
        assert coarse.carry + coarse.pull == pytest.approx(1, abs=1e-14)
        levels = step_map.sigmas[5 * k], step_map.sigmas[5 * k + 5]
        assert coarse.carry == pytest.approx(float(levels[1] / levels[0]), rel=1e-12, abs=1e-15)


def test_blocks_begin_at_full_steps():
    assert beginnings(Heun().steps(sigmas.karras(5))) == [0, 2, 4, 6, 8]
    assert beginnings(DDIM().steps(sigmas.karras(5))) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["dpmpp_2m", "dpmpp_3m", "dpmpp_2m_sde", "unipc", "piadm_ode"])
def test_refuses_samplers_that_cannot_begin_anew(name):
    step_map = SAMPLERS[name]().steps(sigmas.vp_linear(20))
    with pytest.raises(ConfigError, match=r"Parareal is not defined for a .*; .*take"):
        Parareal().check(step_map, (1, 4, 4))


def test_refuses_a_window_and_no_blocks():
    with pytest.raises(ConfigError, match="window = 5 makes no sense for parareal"):
        check_solver(Parareal(), DDIM().steps(sigmas.karras(10)), (1, 4, 4), 5)
    with pytest.raises(ConfigError, match="blocks = 0"):
        Parareal(0)


def test_a_network_that_fails_is_named():
    class Failing:
        shape, sigma_data = (1, 2, 2), 1.0

        def __call__(self, x, sigma):
            return torch.where(sigma.view(-1, 1, 1, 1) < 1.0, torch.nan, 0.5 * x)

    sampling = chain(Failing(), DDIM(), sigmas.karras(16), members=[7, 9])
    with pytest.raises(NonFiniteError, match="member 7 at point"):
        engine(sampling, Parareal()).run()
