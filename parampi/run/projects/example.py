"""A small project that runs as it is: a network in closed form, to be replaced by one's own."""

from parampi.fields import DatasetStatistics
from parampi.run.projects.project import STATISTICS, Line, Project

SIZE = 32
MODEL = '''"""A network in closed form: the denoiser of Gaussian fields with the spectrum k^-3. Put your own in its place."""

import torch


class Network(torch.nn.Module):
    def __init__(self, size: int = 32):
        super().__init__()
        k = torch.fft.fftfreq(size, 1 / size)
        power = (1 + k[:, None] ** 2 + k[None] ** 2) ** -1.5
        self.register_buffer("power", power / power.mean())

    def forward(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """D(x, sigma): x (batch, channels, y, x), sigma (batch,)."""
        gain = self.power / (self.power + sigma[:, None, None, None] ** 2)
        return torch.fft.ifft2(gain * torch.fft.fft2(x)).real
'''


def example() -> Project:
    """Return the project."""
    statistics = DatasetStatistics.of_moments(["field"], [0.0], [1.0], (SIZE, SIZE))
    return Project(
        title="Written by parampi init: a small project that runs as it is. Change it to your own.",
        sections={
            "model": [
                Line("network", "model.py:Network", "your class; its weights are model.weights"),
                Line("predicts", "denoiser", "or edm, epsilon, velocity, data, score, flow"),
                Line("shape", [1, SIZE, SIZE], "channels, y, x"),
            ],
            "data": [Line("statistics", STATISTICS, "names, means and standard deviations; make yours with parampi stats")],
            "sampling": sampling({"schedule": "karras", "steps": 18, "sigma_min": 0.02, "sigma_max": 20.0}, {"name": "heun"}),
            "output": [Line("directory", "output")],
        },
        statistics={STATISTICS: statistics},
        sources={"model.py": MODEL},
    )


def sampling(sigmas: dict[str, object], sampler: dict[str, object], seed: int = 0, remark: str = "") -> list[Line]:
    """Return the lines of the section `sampling`."""
    return [
        Line("members", 4),
        Line("seed", seed),
        Line("sigmas", sigmas, remark),
        Line("sampler", sampler),
        Line("solver", {"name": "picard"}),
        Line("tolerance", 1e-3),
    ]
