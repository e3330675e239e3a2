"""Sweeps with a linear model of the denoiser that is diagonal in a basis, and relearned after every sweep."""

from dataclasses import replace

import torch
from torch import Tensor

from parampi.basis.row_by_row import RowByRow
from parampi.basis.rows import in_pieces, pieces
from parampi.solvers.spectral.first_guess import ModelGuess
from parampi.solvers.spectral.local_secants import LocalSecants
from parampi.solvers.spectral.model import SpectralModel, quotient
from parampi.solvers.spectral.secants import DISTURBED, FLAT, GROWN, Kept, Seen, ratio_of, shown
from parampi.solvers.sweep import Sweep


class SpectralSweeps(ModelGuess):
    """Sweeps with a linear model per mode, corrected by one learned ratio per shell and point.

    Memory per point: its last `denoised` field; in modes, the last `change` of the step's own point, and what the last sweep
    `made` of all changes that the step reads; and the `numbers` of its shells (`Kept`).

    The model of mode f of shell s at a point is `ratio_s c_f / (c_f + sigma^2)`, at most `most`, with the secant ratio

        ratio_s = (sum dD dx + w ratio_s) / (sum L dx^2 + w)          sums over the shell's modes, changes since the last sweep

    where w, a share `ridge` of the mean of the denominators over all modes, leaves the ratio as it was where nothing has moved.
    Where the residual of a point has grown since the last sweep, its ratios return to 1. A response that differs from place to
    place of a field (`LocalSecants`) is no number per mode; a second scan applies it.

    The change dx of a state is the last sweep's own, in modes. For steps that read one point, so is the residual of points that
    were swept before: `weight dD` less what the last sweep made of dx beyond `state dx`. So a point takes one transform, of dD,
    or of the residual where it is new.

    In a roll-out points inherit the ratios of the lead time before, which count more (`HEIRS`), and learn none themselves while
    the network's condition changes from sweep to sweep, for that changes the denoised fields too.
    """

    passes_on, guess_reads = True, "numbers"

    def __init__(self, model: SpectralModel, secants: bool, local: bool = False, *, ridge: float = 1e-3, most: float = 1.0):
        super().__init__()
        self.model, self.secants, self.ridge, self.most = model, secants, ridge, most
        self.variances, self.freedom = model.shells()
        bands = model.bands.count if secants else 0
        self.learns = bands if model.assumed else 0
        self.bequeaths, self.disturbs = range(2 * bands, 3 * bands), range(bands)
        self.disturbed, self.centred, self.recursive = False, not bool(model.mean.any()), False
        self.local = LocalSecants(model.basis, local)
        self.last: tuple[Tensor, Tensor] | None = None

    def make_bitwise(self) -> None:
        super().make_bitwise()
        self.model = replace(self.model, basis=RowByRow(self.model.basis))
        self.local = LocalSecants(self.model.basis, self.local.average is not None)

    def total(self, per_shell: Tensor) -> Tensor:
        """Return sums (n, m, 1) over all shells, of numbers (n, m, S)."""
        return self.each(lambda rows: rows.sum(-1, keepdim=True), per_shell)

    def squares(self, modes: Tensor) -> Tensor:
        """Return sums of squares per shell (n, m, S) of modes (n, m, M)."""
        return in_pieces(lambda part: self.model.basis.shell_sums(modes[part] * modes[part]), modes)

    def saw(self, defect: Tensor, dd: Tensor | None = None, db: Tensor | None = None) -> Seen:
        squares = self.squares(defect)
        return Seen(defect, squares, self.total(squares), dd, db)

    def fieldwise(self, numbers: Tensor) -> Tensor:
        """Return (n, m, 1 ... 1) of (n, m, 1)."""
        return numbers.reshape(*numbers.shape[:2], *(1 for _ in self.model.basis.shape))

    def placed(self, like: Tensor) -> None:
        """Move the model's tables to the device and dtype of the fields."""
        if self.model.variance.device != like.device or self.model.variance.dtype != like.dtype:
            self.model = self.model.to(like.device, like.dtype)
            self.freedom, self.variances = self.freedom.to(like.device), self.variances.to(like.device)
            self.local = LocalSecants(self.model.basis, self.local.average is not None)

    @property
    def kept(self) -> Kept:
        """Numbers that points keep of their shells."""
        return Kept(self.memory["numbers"], self.model.basis.shells)

    # ------------------------------------------------------------------ sweep

    def sweep(self, sweep: Sweep) -> Tensor:
        self.placed(sweep.x)
        basis, taps = self.model.basis, sweep.taps
        if self.secants and not self.memory:
            self.recursive = taps == 1
            self.remember_nothing(sweep.x[taps:])
        seen = self.seen(sweep)
        kept = self.kept if self.secants else None
        ratio = None if kept is None else self.learn(sweep, seen, kept)
        seen.dd = None
        responses = [self.response_at(sweep, tap, ratio) for tap in range(taps)]
        if kept is not None and ratio is not None:
            self.learn_places(sweep, seen, kept, ratio, responses[0])
        seen.db, new, sizes = None, sweep.mapped, basis.squares(sweep.denoised)
        if self.secants:
            self.remember(sweep)
            sweep.forget()
        slopes = [self.slopes(sweep, tap, response) for tap, response in enumerate(responses)]
        y = self.scanned(sweep, slopes[0][None] if taps == 1 else torch.stack(slopes), seen.defect, responses[0])
        made, squares = torch.sub(y[taps:], seen.defect, out=seen.defect), self.squares(sweep.before(y, 0))
        learned = torch.ones_like(squares) if kept is None or ratio is None else torch.where(kept.swept > 0, ratio, -ratio)
        self.tell(sweep, squares, seen.squares, learned.mul_(self.flat(sweep.scale) > 0), sizes)
        del slopes
        self.keep(sweep, seen, responses[0], sweep.before(y, 0), made=made, squares=squares, ratio=ratio)
        del responses
        for part in pieces(new):
            new[part] += basis.inverse(made[part])
        return new

    def tell(self, sweep: Sweep, squares: Tensor, residual: Tensor, ratio: Tensor, sizes: Tensor) -> None:
        """Make the stop statistics of numbers (n, m, S) of shells and sizes (n, m); the ratio of a band is that of all its
        modes."""
        bands, levels = self.model.bands, self.flat(sweep.levels[0])
        if not bands.single:
            ratio = bands.means(ratio, squares * quotient(self.variances, levels.double() ** 2))
            squares, residual = bands.sums(squares), bands.sums(residual)
        self.stop_statistics = torch.cat([squares, residual, ratio, sizes[..., None]], -1).permute(2, 0, 1)

    def scanned(self, sweep: Sweep, slopes: Tensor, defect: Tensor, response: Tensor) -> Tensor:
        """Return the changes y (K + n, m, M) of all states, with the local secants' part."""
        y = sweep.scan(slopes, defect)
        if not self.local.known:
            return y
        if sweep.taps > 1:
            return sweep.scan(slopes, self.beyond(sweep, response * sweep.before(y, 0)).add_(defect))
        # from the last on: a row is read before it is written to
        read, weight = y[:-1], self.flat(sweep.denoised_weight[0])
        for part in reversed(pieces(read)):
            extra = self.local.extra(response[part] * read[part], part)
            torch.add(extra.mul_(weight[part]), defect[part], out=y[1:][part])
        sweep.scan_in_place(slopes, y)
        return y

    def seen(self, sweep: Sweep) -> Seen:
        """Return the residual, and what has changed of the denoised fields."""
        basis = self.model.basis
        if not self.secants:
            defect = basis.forward(sweep.mapped - sweep.old)
            return self.saw(defect)
        # in place of what was kept, which is not needed any more
        kept, db = self.kept, torch.sub(sweep.denoised, self.memory["denoised"], out=self.memory["denoised"])
        if not self.recursive:
            defect, dd = basis.forward(torch.stack([sweep.mapped - sweep.old, db]))
            return self.saw(defect, dd * kept.swept.to(dd), db)
        return self.saw(*self.by_recursion(sweep, kept, db), db)

    def by_recursion(self, sweep: Sweep, kept: Kept, db: Tensor) -> tuple[Tensor, Tensor]:
        """Return the residual and the changes of the denoised fields, db (n, m, *shape), in modes, by one transform."""
        swept = kept.swept.to(db)
        new = self.fieldwise(swept) == 0
        weight, state = torch.where(swept > 0, self.flat(sweep.own_weight), 1.0), self.flat(sweep.state[0])
        made = self.memory["made"]  # the residual takes its place

        def transformed(part: slice) -> Tensor:
            return self.model.basis.forward(torch.where(new[part], sweep.mapped[part] - sweep.old[part], db[part]))

        dd = in_pieces(transformed, db)
        for part in pieces(dd):
            defect = dd[part] * weight[part]
            defect += state[part] * self.memory["change"][part]
            torch.sub(defect, made[part], out=made[part])
        return made, dd.mul_(swept)

    def beyond(self, sweep: Sweep, response: Tensor) -> Tensor:
        """Return what steps make of the local secants (n, m, M), for responses (n, m, M) of the model at their own points."""
        extra = self.local.extra(response)
        total = self.flat(sweep.denoised_weight[0]) * extra
        for tap in range(1, sweep.taps):
            total += self.flat(sweep.denoised_weight[tap]) * sweep.lagged(extra, tap)
        return total

    def slopes(self, sweep: Sweep, tap: int, response: Tensor) -> Tensor:
        return (self.flat(sweep.denoised_weight[tap]) * response).add_(self.flat(sweep.state[tap]))

    def response_at(self, sweep: Sweep, tap: int, ratio: Tensor | None) -> Tensor:
        """Return the model's response (n, m, M) at the points that the steps read at a tap, for ratios (n, m, S) of their own
        points."""
        levels = self.flat(sweep.levels[tap])
        if ratio is None:
            return self.model.response(levels)
        return self.model.learned(levels, ratio_of(sweep.lagged(ratio, tap)) if tap else ratio, self.most)

    def response(self, sweep: Sweep, change: Tensor) -> Tensor:
        """Return the changes (n, m, *shape) of the denoised fields that the model predicts for the last sweep."""
        assert self.last is not None
        return self.model.basis.inverse(self.last[0] * self.last[1])

    # ------------------------------------------------------------------ learning

    def remember_nothing(self, fields: Tensor) -> None:
        """Begin the memory of points (n, m, *shape)."""
        basis = self.model.basis
        modes = fields.new_zeros((*fields.shape[:2], basis.modes))
        self.memory = {"denoised": torch.zeros_like(fields), "numbers": Kept.nothing(fields, basis.shells).numbers}
        self.memory |= {"change": modes, "made": modes.clone()} if self.recursive else {"change": modes}

    def remember(self, sweep: Sweep) -> None:
        """Keep the denoised fields, and let the last changes go, when all has been learned from them."""
        self.memory["denoised"].copy_(sweep.denoised)
        self.memory.pop("change")

    def keep(
        self,
        sweep: Sweep,
        seen: Seen,
        response: Tensor,
        change: Tensor,
        *,
        made: Tensor | None,
        squares: Tensor,
        ratio: Tensor | None,
    ) -> None:
        """Remember what this sweep has changed: the states of the steps' own points (n, m, M), their squares per shell (n, m,
        S), and what steps `made` of it (n, m, M)."""
        if sweep.moves is not None:
            change, squares = change * sweep.moves.to(change), squares * sweep.moves
        self.last = (response, change) if sweep.taps > 1 else None
        if ratio is not None:
            numbers = self.kept.after(sweep.active[..., None].double(), seen.total, ratio, squares)
            self.memory = {"denoised": self.memory["denoised"], "numbers": numbers, "change": change}
            self.memory |= {"made": made} if self.recursive and made is not None else {}
        self.disturbed = False

    def learn(self, sweep: Sweep, seen: Seen, kept: Kept) -> Tensor:
        """Return new ratios (n, m, S), from the changes of states and denoised fields since the last sweep."""
        assert seen.dd is not None
        levels, scale = self.flat(sweep.levels[0]), self.flat(sweep.scale)
        inherited = self.heirs(levels, kept.ratio) if self.learns else ratio_of(kept.ratio)
        expected = inherited if self.disturbed else None
        evidence = shown(self.model, levels, self.memory["change"], seen.dd, kept, expected)
        ratio = replace(evidence, total=self.total(evidence.below)).ratio(
            kept, inherited, self.freedom, ridge=self.ridge, scale=scale
        )
        return torch.where((kept.swept > 0) & (seen.total > GROWN * kept.residual), 1.0, ratio)

    def learn_places(self, sweep: Sweep, seen: Seen, kept: Kept, ratio: Tensor, response: Tensor) -> None:
        """Learn where in fields the response is more, and where less, than the model's (n, m, M)."""
        if self.local.average is None or seen.db is None:
            return
        change, db = self.memory["change"], seen.db
        squares = self.model.square(self.flat(sweep.levels[0]), ratio, self.most, kept.moved)
        if squares is None:
            squares = in_pieces(lambda part: self.model.basis.shell_sums((response[part] * change[part]).square_()), change)
        square, rounding = self.total(squares), FLAT * self.freedom.sum() * self.flat(sweep.scale).double() ** 2
        disturbed = DISTURBED * self.total(kept.disturbed) if self.disturbed else torch.zeros_like(square)

        def learned(part: slice) -> Tensor:
            return self.local.learned(response[part] * change[part], db[part], square[part], rounding[part], disturbed[part])

        self.local.beyond = in_pieces(learned, change)

    def load(self, state: dict[str, Tensor]) -> None:
        self.disturbed = self.disturbed or not self.memory  # a run that goes on may have been told so
        self.recursive = "made" in state
        super().load(state)

    def inherit(self, handed_on: Tensor, disturbances: Tensor) -> None:
        bands = self.model.bands
        self.kept.inherit(bands.spread(handed_on), bands.shared(disturbances, self.variances))
        self.disturbed = True

    def heirs(self, levels: Tensor, ratio: Tensor) -> Tensor:
        """Return ratios (n, m, S), where they are 0 those of the variances that new points inherit."""
        factor = self.inherited(ratio.device)
        share = quotient(self.variances, levels.double() ** 2)
        return torch.where(ratio == 0, factor / (1 + (factor - 1) * share), ratio)
