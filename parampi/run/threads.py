"""As many threads as another run had: the last bits of fields depend on how many there are."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

MOST_THREADS = 1024
"""Threads that a file can ask for."""


@contextmanager
def as_many_threads(threads: int | None, speaks: bool) -> Iterator[None]:
    """Compute with as many threads as an ensemble was drawn with, on which last bits depend; say where that cannot be."""
    before = torch.get_num_threads()
    if threads is not None and 0 < threads <= MOST_THREADS:
        torch.set_num_threads(threads)
    now = torch.get_num_threads()
    if threads != now and speaks:
        drawn = (
            "does not say with how many threads it was drawn"
            if threads is None
            else f"was drawn with {threads} threads per rank"
        )
        print(f"parampi: the ensemble {drawn}, and the member is drawn with {now}: the last bits may differ", file=sys.stderr)
    try:
        yield
    finally:
        torch.set_num_threads(before)
