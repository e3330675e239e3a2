"""Fields of other frameworks' own samplers, and ours."""

import pytest
import torch

from parampi.solvers import Picard, Serial, Spectral
from tests.frameworks.parity import BARS, FRAMEWORKS, PAGE, difference, field_of

SOLVERS = [(Serial(), None), (Picard(), 5), (Spectral(), None)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_fields_are_those_of_the_framework(name):
    for case in FRAMEWORKS[name]():
        assert case.peer in PAGE.read_text(), case.row
        for dtype, bar in BARS.items():
            theirs = field_of(case, dtype)
            for solver, window in SOLVERS if dtype == torch.float64 else SOLVERS[:2]:
                assert difference(case, dtype, theirs, solver, window) < bar, (case.row, dtype, solver)
