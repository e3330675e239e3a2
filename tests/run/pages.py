"""Pages of runs that never were: reports of any size, beside the inputs of a small project."""

from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from parampi.report import MemberReport, Report, Residuals, Timing
from parampi.run.config import load
from parampi.run.inputs import read_inputs
from parampi.run.page.writing import PageSource
from tests.small import write_project

BISTABLE, ABOVE = 5, 9
"""Members that are flagged."""


def history(rng, steps, window):
    """Rounds of a window that slides over all points."""
    first, rounds = 0, []
    while first < steps:
        length = min(window, steps - first)
        changes = [float(f"{v:.3e}") for v in np.append(0.0, 10 ** rng.uniform(-5, 0, length - 1))]
        rounds.append(Residuals(len(rounds) + 1, first, changes))
        first += int(rng.integers(1, 4))
    return rounds


def large_report(members, ranks, steps, window=24, tolerance=1e-2):
    """A report of many members on many ranks, two of them flagged."""
    rng = np.random.default_rng(0)
    report = Report(steps, tolerance, serial_rounds=steps, serial_evaluations=steps * members, rounds=80, evaluations=9 * steps)
    report.residuals = {number: history(rng, steps, window) for number in range(members)}
    for number, rounds in report.residuals.items():
        error = 3 * tolerance if number == ABOVE else float(rng.uniform(0.01, 1) * tolerance)
        bistable = 0.3 * (number == BISTABLE)
        report.members.append(MemberReport(number, len(rounds), 9 * steps, 1e-3, error, "converged", 0, bistable))
    end = np.linspace(0, 60, 30)[:, None]
    report.timeline = [(end * [1, *rng.dirichlet([8, 4, 1, 3])[:3]]).tolist() for _ in range(ranks)]
    last = [rows[-1] for rows in report.timeline]
    names = ("total", "network", "communication", "output")
    report.seconds = [dict(zip(names, row, strict=True)) for row in last]
    hosts = [f"node{rank // 8}" for rank in range(ranks)]
    report.timing = Timing("2026-01-01T00:00:00+00:00", "2026-01-01T00:01:00+00:00", hosts, 60.0, 0.02, 250.0, 30.0)
    report.layout = {"ranks": ranks, "groups": ranks // 4, "time_ranks": 4, "window": window}
    return report


def source_of(folder, report, **changes):
    """What a page is made of; the noise levels are as many as the report's points."""
    sigmas = {"schedule": "karras", "steps": report.steps, "sigma_min": 0.05, "sigma_max": 20.0}
    path = write_project(folder, sampling__members=len(report.residuals), sampling__sigmas=sigmas, **changes)
    return PageSource(read_inputs(load(Path(path))), "gather", {"parampi_version": "0"}, report)


@dataclass
class Reader(HTMLParser):
    """A reader of pages: tags with their attributes, and texts by the tag that they are in."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open = tag

    def handle_data(self, data):
        self.texts.append((self.open, data))

    def text(self, tag):
        return " ".join(text for inside, text in self.texts if inside == tag)
