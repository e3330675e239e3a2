"""Windows of points, swept until they agree, for the members of one group of ranks.

One round is one batched network evaluation and one scan over ranks:

    D = denoise(x_old)                                                    all points of this rank's slice, all members, at once
    F = sum_l state[l] x_old[i-l] + denoised_weight[l] D[i-l] + noise xi            the step map
    y[i+1] = sum_l A[l] y[i-l] + (F_i - x_old[i+1])                       the scan; y = x_new - x_old
    x_new[i+1] = F_i + sum_l A[l] y[i-l]                                  (what a solver makes of a sweep may differ from this)

Where all y that a step reads are exactly 0, x_new[i+1] is F_i(x_old) exactly: after k rounds the first k points are the serial
sampler's. Rank 0 judges the changes and broadcasts by how many points each member's window slides. Members' windows are
independent: a hard member neither delays the others nor changes them.
"""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from parampi.diffusion.batched import BatchConditions
from parampi.engine.base import RoundEngine
from parampi.engine.coefficients import Coefficients
from parampi.engine.evaluation import DenoisedFields
from parampi.engine.first_guess import FirstGuess
from parampi.engine.history import Floats, Integers, Round
from parampi.engine.inheritance import inherited
from parampi.engine.latest_fields import LatestFields
from parampi.engine.lead_conditions import LeadConditions
from parampi.engine.lead_log import LeadLog
from parampi.engine.lead_rule import EARLY, SLIDING, LeadRule
from parampi.engine.noise_cache import NoiseCache
from parampi.engine.options import EngineOptions
from parampi.engine.problem import FieldBatch, SamplingProblem
from parampi.engine.reductions import finite, inner_products
from parampi.engine.slice import Slice, produced_points
from parampi.engine.state import EngineState, PointRows, named, unnamed
from parampi.engine.state_update import StateUpdate
from parampi.engine.window_reach import WindowReach
from parampi.engine.window_scans import WindowScans
from parampi.parallel import Group, PlacedPoint, PointRanges
from parampi.solvers import RoundMeasures, Solver, Sweep


class WindowEngine(RoundEngine):
    """Windows that slide over the points of each member, and are swept as a whole."""

    leads: LeadConditions | None = None
    lead_log: LeadLog | None = None
    conditions: BatchConditions | None = None

    def __init__(self, problem: SamplingProblem, solver: Solver, group: Group, options: EngineOptions):
        super().__init__(problem, solver, group, options)
        equations, sigma_data = problem.equations, problem.sigma_data
        self.rule = self.solver.rule(equations, sigma_data, options.tolerance)
        self.iteration = self.solver.iteration(equations, sigma_data)
        if options.mode == "bitwise":
            self.iteration.make_bitwise()
        self.iteration.learned = torch.zeros(len(problem.members), self.iteration.learns, dtype=torch.float64)
        reach = WindowReach.over(equations, self.solver, options, problem.leads.count if problem.leads else None)
        self.slice = Slice(problem, Coefficients.of(problem, self.solver), group, reach)
        self.noise = NoiseCache(self.slice)
        self.denoised = DenoisedFields(self.slice)
        if problem.leads is not None:
            self.leads = LeadConditions(problem.leads, self.slice, group)
            self.lead_log = LeadLog.empty(len(problem.members), reach.leads)
            self.rule = LeadRule(self.rule, equations.steps, reach.leads, self.iteration.bequeaths, self.iteration.learns)
            self.rule.disturbs = self.iteration.disturbs
            if problem.leads.count > 1:
                self.rule.early = lambda first: np.where(reach.stays(first), EARLY, SLIDING)
        trend = self.solver.first_guess(equations.step_map, sigma_data).trend if equations.causal else None
        self.latest = LatestFields(self.slice, trend) if trend else None
        self.guess = FirstGuess(self.slice, self.noise, self.iteration, options.mode, self.latest, self.leads)
        self.update = StateUpdate(self.slice, self.denoised, self.iteration, options.mode)
        self.slide(self.first)
        if group.rank == 0:
            self.rule.begin(len(problem.members), int(self.slice.lengths.max()))
        calls = np.cumsum(equations.evaluated.numpy()) * (1 + self.iteration.derivatives_per_point(problem.shape))
        self.cumulative_evaluations = np.concatenate([[0], calls])

    @property
    def first(self) -> Integers:
        return self.slice.window.first

    @property
    def result(self) -> Tensor:
        return self.slice.window.x[self.slice.window.taps - 1]

    @property
    def tail(self) -> Tensor:
        window, lengths = self.slice.window, self.slice.lengths
        return torch.stack([window.x[window.taps - 1 + n, m] for m, n in enumerate(lengths)])

    def evaluations(self, points: Integers) -> Integers:
        """Return the network calls of chains up to points (m,)."""
        calls, steps = self.cumulative_evaluations, self.problem.equations.steps
        total: Integers = points // steps * calls[-1] + calls[points % steps]
        return total

    # ------------------------------------------------------------------ one round

    def collect(self) -> FieldBatch:
        return self.denoised.batch()

    def evaluate(self, batch: FieldBatch) -> Tensor:
        self.conditions = self.leads.of_fields() if self.leads else self.problem.conditions_of(batch.columns)
        return self.problem.network(batch.x, batch.sigmas, self.conditions)

    def step(self, denoised: Tensor) -> Floats:
        """Sweep; returns relative changes at the windows' points, losses of the points made from them, and the solver's
        statistics: (2 + E, n, m), inf where D or what a step made is not finite."""
        self.denoised.enter(denoised)
        if self.latest:
            self.latest.take(self.denoised.rows)
        del denoised  # a sweep may give its memory back
        sweep = self.sweep_of()
        new = self.iteration.sweep(sweep)
        rows = self.update.measured(sweep, new)
        statistics = self.iteration.stop_statistics
        # all at once: a GPU is waited for here, and nowhere else in a round
        observed: Floats = torch.cat([*rows, statistics.to(rows[0].device)] if len(statistics) else rows).cpu().numpy()
        if not np.isfinite(observed[1]).all():
            # the first point at which something is not finite; what a step makes of such a denoised field is not, either
            fields = [new, self.denoised.fresh] if len(self.denoised.fresh) else [new]
            observed[0][~finite(*fields).cpu().numpy()] = np.inf
        if self.iteration.loses:
            return np.concatenate([observed[:1], observed[2:]])
        observed[1] = 0.0
        return observed

    def sweep_of(self) -> Sweep:
        """Return the sweep as the solver sees it."""
        slice_, numbers, mode = self.slice, self.slice.numbers, self.options.mode
        scans = WindowScans(self.group, slice_.window, mode)

        def derivative(x: Tensor, sigmas: Tensor, directions: Tensor) -> Tensor:
            return self.problem.network.derivative(x, sigmas, directions, self.conditions)

        return Sweep(
            x=self.denoised.read,
            old=slice_.window.x[slice_.window.taps :],
            fields=lambda: self.denoised.fresh,
            forget=self.denoised.forget,
            step_map=partial(self.denoised.mapped, self.noise),
            state=slice_.unless_start(numbers.state),
            denoised_weight=slice_.unless_start(numbers.denoised_weight),
            own_weight=numbers.denoised_weight[0] if len(numbers.denoised_weight) else numbers.scale_made[0],
            slopes=slice_.unless_start(numbers.slopes),
            response=numbers.response,
            levels=numbers.levels,
            scale=numbers.scale_made[0],
            steps=slice_.lead_steps,
            active=slice_.scaled,
            places=slice_.places,
            moves=slice_.moves,
            changes_read=slice_.changes_read,
            scan=scans.affine,
            scan_in_place=scans.in_place,
            operators=scans.operators,
            around=slice_.around,
            products=partial(inner_products, mode=mode),
            derivative=derivative,
        )

    # ------------------------------------------------------------------ the verdict

    def gathered(self, observed: Floats) -> Floats:
        """Return the numbers (k, position, m) of all positions of the windows: every rank sends those of its own (k, n, m)."""
        if self.group.size == 1:
            return observed
        begin, end = self.slice.window.slices.bounds(np.arange(self.group.size))
        rows = self.group.rows_to_root(observed.transpose(1, 0, 2), np.subtract(end, begin).tolist())
        return np.ascontiguousarray(rows.transpose(1, 0, 2))

    def failure(self, observed: Floats) -> tuple[int, int] | None:
        known = np.isfinite(observed[0])
        if known.all():
            return None
        position, column = np.argwhere(~known)[0]
        return int(position + self.first[column]), int(column)

    def decide(self, observed: Floats) -> tuple[Round, Floats]:
        first, lengths = self.first, self.slice.lengths
        verdict = self.rule.judge(
            RoundMeasures(observed[0], observed[1], first, lengths, self.history.error_estimate, observed[2:])
        )
        if self.iteration.learns and verdict.learned is not None:
            self.iteration.learned.copy_(torch.from_numpy(verdict.learned))
        if verdict.bistable is not None:
            self.history.bistable = np.where(verdict.bistable < 0, 0.0, self.problem.equations.sigmas.numpy()[verdict.bistable])
        evaluations = self.evaluations(first + lengths) - self.evaluations(first)
        if self.lead_log:
            self.lead_log.enter(first, lengths, self.cumulative_evaluations)
        entry = Round(
            number=self.number,
            first=first.copy(),
            lengths=lengths,
            changes=observed[0],
            slides=verdict.slides,
            evaluations=evaluations,
        )
        return entry, verdict.error_estimate

    def move_on(self, slides: Integers) -> None:
        if slides.any():
            if self.iteration.learns:
                self.group.broadcast(self.iteration.learned.numpy())
            self.slide(self.first + slides)

    def slide(self, first: Integers) -> None:
        """Let the windows begin at `first`, and guess the points that are new."""
        lengths = np.minimum(self.slice.lengths, self.slice.window.slices.points)
        ends = self.leads.ends_before(first) if self.leads else {}
        old = self.slice.slide(first)
        self.denoised.slide(old)
        self.noise.update()
        kept = self.iteration.state()
        if kept:
            self.iteration.load(dict(zip(kept, self.slice.moved(list(kept.values()), old), strict=True)))
        if self.leads:
            self.follow_leads(self.leads, ends, old.first + lengths)
        self.guess.fill(old.first + lengths - first)

    def follow_leads(self, leads: LeadConditions, ends: dict[PlacedPoint, Tensor], known: Integers) -> None:
        """Finish lead times whose `ends` are frozen now, by column and point, and tell points that enter, beyond those `known`
        (m,), what they inherit."""
        if ends:
            kept = leads.close(ends)
            if self.group.rank == 0:
                assert self.lead_log is not None and isinstance(self.rule, LeadRule)
                for (column, lead), field in kept.items():
                    end, sigmas = self.rule.ends[column, lead], self.problem.equations.sigmas
                    self.finished_leads.append(self.lead_log.finish(column, lead, field, end, sigmas))
                    self.history.begin_anew(column)
        leads.exchange(known)
        self.inherit(leads, known)

    def inherit(self, leads: LeadConditions, known: Integers) -> None:
        """Hand on what the current lead time has learned to the points that wait, and to those that enter, beyond the points
        `known` (m,); collective."""
        bequeaths, disturbs = len(self.iteration.bequeaths), len(self.iteration.disturbs)
        if bequeaths and self.iteration.memory:
            assert isinstance(self.rule, LeadRule)
            numbers = inherited(self.rule, self.slice, self.group, leads.lead, known, bequeaths + disturbs)
            if numbers is not None:
                self.iteration.inherit(numbers[..., :bequeaths], numbers[..., bequeaths:])

    # ------------------------------------------------------------------ state

    def state(self) -> EngineState:
        begin, kept = produced_points(self.slice.window, self.group.rank)[0], named("iteration", self.iteration.state().items())
        fields = {name: PointRows(rows, begin) for name, rows in kept.items()}
        fields |= {"x": self.slice.state(), "denoised": self.denoised.state()}
        numbers = {"first": torch.tensor(self.first, dtype=torch.float64), **self.history.state()}
        numbers |= named("rule", ((name, torch.tensor(values)) for name, values in self.rule.state().items()))
        if self.leads and self.lead_log:
            numbers |= named("leads", [*self.leads.state().items(), *self.lead_log.state().items()])
        if self.iteration.learns:
            numbers["learned"] = self.iteration.learned
        return EngineState(np.ones(len(self.first), np.bool_), fields, numbers)

    def span(self, name: str, numbers: dict[str, Tensor]) -> PointRanges | None:
        first = numbers["first"].numpy().astype(np.int64)
        if name == "denoised":
            return self.denoised.span(first)
        begin, end = self.slice.span(first)
        return (begin, end) if name == "x" else (begin + self.slice.window.taps, end)

    def load(self, state: EngineState) -> None:
        self.history.load(state.numbers)
        if self.group.rank == 0:
            self.rule.load({name: values.numpy() for name, values in unnamed("rule", state.numbers).items()})
        if self.iteration.learns:
            self.iteration.learned = state.numbers["learned"].to(self.iteration.learned)
        self.slice.load(state)
        if self.leads and self.lead_log:
            numbers = unnamed("leads", state.numbers)
            self.leads.load(numbers, state.begun)
            self.lead_log.load(numbers)
        self.denoised.load(state)
        self.noise.forget()
        self.noise.update()
        if self.latest:
            self.latest.begin()
        self.guess.fill(np.where(state.begun, self.slice.lengths, 0))
        count = len(self.slice.positions)
        kept = {name: rows.first_rows(count) for name, rows in state.fields.items() if name.startswith("iteration.")}
        self.iteration.load(unnamed("iteration", kept))
