"""Relative differences of samplers and their peers, as the table of the documentation: `python -m tests.samplers.parity`."""

import warnings
from pathlib import Path

import torch
from torch import nn

from parampi.bench.table import markdown
from parampi.diffusion.exact import Gaussian, GaussianMixture
from tests.samplers import elucidated
from tests.samplers.peers import F64, Case, cases, difference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "generated" / "parity.md"
HEADER = ("sampler", "peer", "cases", "largest relative L2 difference")


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


def largest(case: Case) -> float:
    return max(difference(case, denoise, shape) for denoise, shape in problems())


def rows() -> list[tuple[str, str, int, float]]:
    """One row per sampler and peer, the largest difference over options, spacings, last levels and problems."""
    found: dict[tuple[str, str], list[float]] = {}
    for case in cases():
        found.setdefault((type(case.sampler).__name__, case.peer), []).append(largest(case))
    for sampler, name, difference_ in elucidated.differences(problems()):
        found.setdefault((sampler, name), []).append(difference_)
    return [(*key, len(values), max(values)) for key, values in found.items()]


def main() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = markdown(HEADER, [(a, b, n, f"{value:.1e}") for a, b, n, value in rows()])
    PAGE.write_text(table + "\n")
    print(table)


if __name__ == "__main__":
    main()
