"""Scores of forecasts against what followed, per lead time; arrays are (start, lead time, y, x), of ensembles (member, ...)."""

import numpy as np

from parampi.fields.spectra import radial_spectrum


def fair_crps(members, truth):
    """Fair continuous ranked probability score per start and lead time (Ferro 2014, Q. J. R. Meteorol. Soc. 140, 1917):
    mean |x_m - y| - mean |x_m - x_n| / 2 over pairs of different members."""
    count = len(members)
    apart = sum(np.abs(members[m] - members[n]).mean((-2, -1)) for m in range(count) for n in range(m))
    return np.abs(members - truth).mean((0, -2, -1)) - apart / (count * (count - 1))


def skill(members, truth):
    """Root mean square error of the ensemble's mean per lead time."""
    return np.sqrt(((members.mean(0) - truth) ** 2).mean((0, -2, -1)))


def spread(members):
    """Root mean variance of the members per lead time, times sqrt((M + 1) / M): equal to `skill` where members and truth are
    draws of one law (Fortin et al. 2014, J. Hydrometeorol. 15, 1708)."""
    count = len(members)
    return np.sqrt(members.var(0, ddof=1).mean((0, -2, -1)) * (count + 1) / count)


def spectrum_ratio(members, truth, shells=slice(1, 17)):
    """Mean square per shell of wavenumbers over that of the truth, (lead time, shell)."""
    return radial_spectrum(members).mean((0, 1))[:, shells] / radial_spectrum(truth).mean(0)[:, shells]


def standard_error(values):
    """Of a mean over starts (start, ...)."""
    return values.std(0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.full(values.shape[1:], np.nan)
