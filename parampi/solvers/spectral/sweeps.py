"""Sweeps with a linear model of the denoiser that is diagonal in a basis, and relearned after every sweep."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from parampi.basis import Basis
from parampi.basis.row_by_row import RowByRow
from parampi.solvers.spectral.local_secants import LocalSecants
from parampi.solvers.sweep import GuessContext, Iteration, Sweep

DISTURBED = 4.0
"""Weight of the squares of changes of the end before a lead time, which change the network's condition."""
HEIRS = 0.7
"""Weight of ratios that are inherited from the lead time before, relative to the mean of the denominators."""
LARGEST = 1e3
"""Largest factor by which secants may change the model."""
GROWN = 1e9
"""Growth of the square of a residual above which the learned ratios are dropped."""
CORRECTIONS = 2
"""Further scans that apply the local secants."""
FLAT = 1e-26
"""Largest squares of changes, relative to those of the states, that are rounding."""


@dataclass(frozen=True, eq=False)
class SpectralModel:
    """Gaussian data that are independent in the modes of a basis: `D(x, s) = mean + c / (c + s^2) (x - mean)`.

    variance c (M,) and mean (M,) of the modes, float64; c in units of what white noise of unit variance has there. Where the
    variances are only `assumed`, points that enter windows inherit those that the window has shown.
    """

    basis: Basis
    variance: Tensor
    mean: Tensor
    assumed: bool = False

    def response(self, levels: Tensor, factors: Tensor | None = None) -> Tensor:
        """Return `c / (c + s^2)` (..., M) for noise levels s (..., 1); variances are times these factors (m, S) of shells."""
        variance = self.variance if factors is None else self.variance * self.basis.spread(factors).to(levels)
        # noise and data may both be 0, as may be the numbers of steps that are in no window
        return torch.where(variance > 0, variance / (variance + levels**2), levels.new_zeros(()))

    def shells(self) -> tuple[Tensor, Tensor]:
        """Return the mean variance and degrees of freedom (S,) of the shells."""
        freedom = self.basis.shell_sums(self.basis.noise)
        variance = self.basis.shell_sums(self.basis.noise * self.variance) / freedom.clamp(min=1e-300)
        return variance, freedom

    def to(self, device: torch.device, dtype: torch.dtype) -> "SpectralModel":
        basis = self.basis.to(device, dtype)
        return replace(self, basis=basis, variance=self.variance.to(device, dtype), mean=self.mean.to(device, dtype))


class SpectralSweeps(Iteration):
    """Sweeps with a linear model per mode, corrected by one learned ratio per shell and point.

    Memory per point: whether it was `swept` before, and whether it is an `heir` of the lead time before; its last `state` and
    `denoised` field in modes; the `ratio` of the learned response of each shell to the model's (0 for new points, which stands
    for 1, or for what they inherit); and the square of its last `residual`. `measured` is where a point's ratios are not
    inherited.

    The model of mode f of shell s at a point is `ratio_s c_f / (c_f + sigma^2)`, at most `most`, with the secant ratio

        ratio_s = (sum dD dx + w ratio_s) / (sum L dx^2 + w)          sums over the shell's modes, changes since the last sweep

    where w, a share `ridge` of the mean of the denominators over all modes, leaves the ratio as it was where nothing has moved.
    Where the residual of a point has grown since the last sweep, its ratios return to 1. A response that differs from place to
    place of a field (`LocalSecants`) is no number per mode; further scans apply it.

    In a roll-out points inherit the ratios of the lead time before, which count more (`HEIRS`), and learn none themselves while
    the network's condition changes from sweep to sweep, for that changes the denoised fields too.
    """

    passes_on = True

    def __init__(self, model: SpectralModel, secants: bool, local: bool = False, *, ridge: float = 1e-3, most: float = 1.0):
        super().__init__()
        self.model, self.secants, self.ridge, self.most = model, secants, ridge, most
        self.variances, self.freedom = model.shells()
        self.learns = model.basis.shells if secants and model.assumed else 0
        shells = model.basis.shells if secants else 0
        self.bequeaths, self.disturbs = range(2 * shells, 3 * shells), range(shells)
        self.measured = torch.ones(())
        self.local = LocalSecants(model.basis, local)

    def make_bitwise(self) -> None:
        super().make_bitwise()
        self.model = replace(self.model, basis=RowByRow(self.model.basis))
        self.local = LocalSecants(self.model.basis, self.local.average is not None)

    def total(self, per_shell: Tensor) -> Tensor:
        """Return sums (n, m, 1) over all shells, of numbers (n, m, S)."""
        return self.each(lambda rows: rows.sum(-1, keepdim=True), per_shell)

    def flat(self, numbers: Tensor) -> Tensor:
        """Return (..., 1) of numbers (..., 1 ... 1) beside fields."""
        return numbers.reshape(*numbers.shape[: numbers.ndim - len(self.model.basis.shape)], 1)

    def placed(self, like: Tensor) -> None:
        """Move the model's tables to the device and dtype of the fields."""
        if self.model.variance.device != like.device or self.model.variance.dtype != like.dtype:
            self.model = self.model.to(like.device, like.dtype)
            self.freedom, self.variances = self.freedom.to(like.device), self.variances.to(like.device)
            self.local = LocalSecants(self.model.basis, self.local.average is not None)

    def guess(self, entry: GuessContext) -> Tensor:
        """Return the sampler's own solution for the model's Gaussian data, with the true noises."""
        self.placed(entry.x)
        taps, basis = len(entry.state), self.model.basis
        enters, denoised_weight = self.flat(entry.enters), self.flat(entry.denoised_weight)
        response = self.guess_response(entry)
        known, mean = basis.forward(entry.x), self.model.mean
        if entry.drawn is not None and entry.expects is not None:
            mean = torch.where(self.flat(entry.expects), basis.forward(entry.drawn), mean)
        fresh = sum(denoised_weight * (1 - response)) * mean
        if isinstance(entry.fresh, Tensor):
            fresh = fresh + basis.forward(entry.fresh)
        starts = None if entry.starts is None else basis.forward(entry.starts)
        slopes, values = entry.restarted(self.flat(entry.state) + denoised_weight * response, fresh, starts)
        z = entry.scan(torch.where(enters, slopes, 0.0), torch.where(enters, values, known[taps:]), known[:taps])
        return torch.cat([entry.x[:taps], torch.where(entry.enters, basis.inverse(z[taps:]), entry.x[taps:])])

    def guess_response(self, entry: GuessContext) -> Tensor:
        """Return the response (K, n, m, M) at the points that the steps read: the model's, and what points inherit."""
        prior = self.model.response(self.flat(entry.levels), self.inherited(entry.x.device) if self.learns else None)
        if entry.lagged is None or not self.memory:
            return prior
        heir, ratio = self.memory["heir"], self.memory["ratio"]
        model, responses = self.model.response(self.flat(entry.levels)), []
        for tap in range(len(prior)):
            own = self.model.basis.spread(self.ratio(entry.lagged(ratio, tap)).to(prior.dtype))
            responses.append(torch.where(entry.lagged(heir, tap) > 0, (model[tap] * own).clamp(0, self.most), prior[tap]))
        return torch.stack(responses)

    def sweep(self, sweep: Sweep) -> Tensor:
        self.placed(sweep.x)
        basis = self.model.basis
        defect = basis.forward(sweep.mapped - sweep.old)
        residual = basis.shell_sums(defect**2)
        self.learn(sweep, self.total(residual))
        responses = [self.response_at(sweep, tap) for tap in range(sweep.taps)]
        slopes = torch.stack([self.slopes(sweep, tap, response) for tap, response in enumerate(responses)])
        y = sweep.scan(slopes, defect)
        for _ in range(CORRECTIONS if self.local.known else 0):
            y = y + sweep.scan(slopes, defect + self.made_changes(sweep, slopes, responses[0], y) - y[sweep.taps :])
        learned = self.ratio(self.memory["ratio"]) if self.secants else torch.ones_like(residual)
        denoised = self.memory["denoised"] if self.secants else basis.forward(sweep.denoised)
        sizes = self.total(basis.shell_sums(denoised**2))
        learned = torch.where(self.measured > 0, learned, -learned) * (self.flat(sweep.scale) > 0)
        statistics = [basis.shell_sums(sweep.before(y, 0) ** 2), residual, learned, sizes]
        self.stop_statistics = torch.cat(statistics, -1).cpu().permute(2, 0, 1)
        return sweep.mapped + basis.inverse(self.made_changes(sweep, slopes, responses[0], y))

    def made_changes(self, sweep: Sweep, slopes: Tensor, response: Tensor, y: Tensor) -> Tensor:
        """Return the changes (n, m, M) that the steps make of changes y (K + n, m, M) of the states they read."""
        total = slopes[0] * sweep.before(y, 0)
        for tap in range(1, sweep.taps):
            total += slopes[tap] * sweep.before(y, tap)
        if self.local.known:
            extra = self.local.extra(response * sweep.before(y, 0))
            for tap in range(sweep.taps):
                total += self.flat(sweep.denoised_weight[tap]) * (sweep.lagged(extra, tap) if tap else extra)
        return total

    def slopes(self, sweep: Sweep, tap: int, response: Tensor) -> Tensor:
        return self.flat(sweep.state[tap]) + self.flat(sweep.denoised_weight[tap]) * response

    def response_at(self, sweep: Sweep, tap: int) -> Tensor:
        """Return the model's response (n, m, M) at the points that the steps read at a tap."""
        prior = self.model.response(self.flat(sweep.levels[tap]))
        if not self.secants:
            return prior
        stored = self.memory["ratio"]
        ratio = sweep.lagged(stored, tap) if tap else stored
        return (prior * self.model.basis.spread(self.ratio(ratio).to(prior.dtype))).clamp(0, self.most)

    @staticmethod
    def ratio(stored: Tensor) -> Tensor:
        """Return ratios (n, m, S) from memory, where 0 stands for 1."""
        return torch.where(stored == 0, 1.0, stored)

    def response(self, sweep: Sweep, change: Tensor) -> Tensor:
        basis = self.model.basis
        return basis.inverse(self.response_at(sweep, 0) * basis.forward(change))

    def learn(self, sweep: Sweep, residual: Tensor) -> None:
        """Learn new ratios from the changes of states and denoised fields since the last sweep; residual (n, m, 1)."""
        if not self.secants:
            return
        basis = self.model.basis
        x, denoised = (kept(basis.forward(fields), fields) for fields in (sweep.before(sweep.x, 0), sweep.denoised))
        if not self.memory:
            ratio = residual.new_zeros((*x.shape[:2], basis.shells))
            zero = x.new_zeros((*x.shape[:2], 1))
            nothing = {"swept": zero, "heir": zero.clone(), "residual": torch.zeros_like(residual)}
            nothing["disturbed"] = torch.zeros_like(ratio)
            self.memory = {**nothing, "state": x, "denoised": denoised, "ratio": ratio}
        last, swept = self.memory, self.memory["swept"]
        self.measured = swept
        inherited = self.heirs(sweep, last["ratio"]) if self.learns else self.ratio(last["ratio"])
        dx, dd = swept * (x - last["state"]), swept * (denoised - last["denoised"])
        ratio = self.secant(sweep, dx, dd, inherited)
        ratio = torch.where((swept > 0) & (residual > GROWN * last["residual"]), 1.0, ratio)
        flags = {"swept": torch.ones_like(swept), "heir": last["heir"], "residual": residual}
        flags["disturbed"] = torch.zeros_like(ratio)
        self.memory = {**flags, "state": x, "denoised": denoised, "ratio": ratio}
        if self.local.average is None:
            return
        expected = self.response_at(sweep, 0) * dx
        rounding = FLAT * self.freedom.sum() * self.flat(sweep.scale).double() ** 2
        disturbed = DISTURBED * self.total(last["disturbed"])
        self.local.learn(expected, dd, self.total(basis.shell_sums(expected**2)), rounding, disturbed)

    def inherit(self, handed_on: Tensor, disturbances: Tensor) -> None:
        ratio, heirs = self.memory["ratio"], handed_on > 0
        self.memory["ratio"] = torch.where(heirs, handed_on.to(ratio), ratio)
        self.memory["heir"] = torch.maximum(self.memory["heir"], heirs.any(-1, keepdim=True).to(ratio))
        self.memory["disturbed"] = disturbances.to(ratio)

    def inherited(self, device: torch.device) -> Tensor:
        """Return the variances (m, S) that new points inherit, relative to the model's."""
        return torch.where(self.learned == 0, 1.0, self.learned).to(device)

    def heirs(self, sweep: Sweep, ratio: Tensor) -> Tensor:
        """Return ratios (n, m, S), where they are 0 those of the variances that new points inherit."""
        squares, factor = self.flat(sweep.levels[0]).double() ** 2, self.inherited(ratio.device)
        share = torch.where(self.variances > 0, self.variances / (self.variances + squares), 0.0)
        return torch.where(ratio == 0, factor / (1 + (factor - 1) * share), ratio)

    def secant(self, sweep: Sweep, dx: Tensor, dd: Tensor, ratio: Tensor) -> Tensor:
        """Return the secant ratios (n, m, S) of changes dx and dd (n, m, M) of states and denoised fields."""
        basis = self.model.basis
        above = basis.shell_sums(dd * dx)
        below = basis.shell_sums(self.model.response(self.flat(sweep.levels[0])) * dx * dx)
        ridge = torch.where(self.memory["heir"] > 0, HEIRS, self.ridge)
        weight = ridge * self.total(below) / self.freedom.sum() * self.freedom
        # what the condition may have changed of dd, but no more than is unexplained
        model = self.model.response(self.flat(sweep.levels[0])) * basis.spread(ratio.to(dx.dtype))
        unexplained = torch.minimum(self.memory["disturbed"], basis.shell_sums((dd - model * dx) ** 2))
        weight = weight + DISTURBED * unexplained * basis.shell_sums(dx * dx) / below.clamp(min=1e-300)
        moved = below > FLAT * self.freedom * self.flat(sweep.scale).double() ** 2
        learned = (above + weight * ratio) / torch.where(moved, below + weight, 1.0)
        return torch.where(moved, learned, ratio).clamp(1 / LARGEST, LARGEST)


def kept(modes: Tensor, fields: Tensor) -> Tensor:
    """Return modes in memory of their own: in some bases they are the fields themselves, which change in place."""
    same = modes.untyped_storage().data_ptr() == fields.untyped_storage().data_ptr()
    return modes.clone() if same else modes
