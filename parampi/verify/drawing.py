"""matplotlib, whatever the environment says: figures go into files, and take no backend and no style from elsewhere."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BACKEND = "MPLBACKEND"
"""Variable of the environment that names a backend, which matplotlib checks when it is imported."""


@contextmanager
def drawing(style: dict[Any, Any]) -> Iterator[None]:
    """Import matplotlib without a backend of the environment, and set matplotlib's own style with changes meanwhile."""
    backend = os.environ.pop(BACKEND, None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ[BACKEND] = backend
    with matplotlib.rc_context():
        matplotlib.rcParams.update({key: value for key, value in matplotlib.rcParamsDefault.items() if key != "backend"})
        matplotlib.rcParams.update(style)
        yield
