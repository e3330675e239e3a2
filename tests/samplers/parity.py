"""Relative differences of samplers and their peers, as the table of the documentation: `python -m tests.samplers.parity`."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from parampi.bench.table import markdown
from parampi.diffusion.exact import Gaussian, GaussianMixture
from parampi.samplers import SAMPLERS
from tests.samplers import elucidated
from tests.samplers.peers import F64, cases, difference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "generated" / "parity.md"
HEADER = ("sampler", "peer", "options of the peer", "cases", "largest relative L2 difference")
Row = tuple[str, str, str]


class UNet(nn.Module):
    """A small network with one coarser level and a skip connection, in double precision, its weights random."""

    shape = (2, 8, 8)

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.inward, self.coarse = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.outward = nn.Conv2d(16, 2, 3, padding=1)
        for parameter in self.parameters():
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator, dtype=F64)

    def forward(self, x, sigma):
        level = sigma[:, None, None, None]
        scaled = x / (1 + level**2).sqrt()
        inward = torch.nn.functional.silu(self.inward(torch.cat([scaled, level.log1p().expand_as(x[:, :1])], 1)))
        coarse = torch.nn.functional.silu(self.coarse(torch.nn.functional.avg_pool2d(inward, 2)))
        both = torch.cat([inward, torch.nn.functional.interpolate(coarse, scale_factor=2)], 1)
        return x / (1 + level**2) + level / (1 + level**2).sqrt() * self.outward(both)


def problems():
    """Denoisers of one field, D(x, sigma), with the fields' shapes."""
    gaussian = Gaussian(torch.linspace(-1, 1, 12, dtype=F64).view(1, 3, 4), 0.3)
    return [(alone(p), tuple(p.shape)) for p in (gaussian, GaussianMixture(), UNet())]


def alone(problem):
    @torch.no_grad()
    def denoise(x, sigma):
        return problem(x[None], torch.as_tensor(sigma, dtype=F64).reshape(1))[0]

    return denoise


def differences(problems) -> Iterator[tuple[Row, Callable[[], float]]]:
    """Every comparison: its row of the table, and what computes the largest difference over the problems."""
    for case in cases():
        yield case.row, lambda case=case: max(difference(case, *problem) for problem in problems)
    yield from elucidated.differences(problems)


def grouped(problems) -> dict[Row, list[Callable[[], float]]]:
    """The comparisons of each row, in the order of the samplers' names as they are registered."""
    comparisons: dict[Row, list[Callable[[], float]]] = {}
    for row, compute in differences(problems):
        comparisons.setdefault(row, []).append(compute)
    names = list(SAMPLERS)
    return dict(sorted(comparisons.items(), key=lambda item: names.index(item[0][0])))


def main() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = [(*row, len(all_), f"{max(f() for f in all_):.1e}") for row, all_ in grouped(problems()).items()]
    PAGE.write_text(markdown(HEADER, rows) + "\n")
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
