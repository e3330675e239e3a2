"""Spectra of an ensemble beside those of the data: one panel of a picture."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.fields import DatasetStatistics
from parampi.verify.drawing import ACCENT, FAINT, INK, pretty
from parampi.verify.scores import quarter_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.floating[Any]]
SPECTRUM_LABELS = {
    "fourier": ("Radial spectrum", "wavenumber (cycles per domain)", "a quarter of the grid"),
    "spherical_harmonics": ("Spectrum on the sphere", "degree of spherical harmonics", "half of the degrees"),
    "region": ("Radial spectrum", "wavenumber (lowest of the region = 1)", "half of the wavenumbers"),
}
"""Title, label of the axis and name of the highest shell that is compared, by the basis of the spectrum."""


def draw_spectra(axis: "Axes", members: Floats, statistics: DatasetStatistics, channel: int, label: str) -> None:
    """Draw the ensemble's mean spectrum and its members' band over the data's, up to the highest shell that the grid holds in
    all directions. Points that are missing count as the data's mean."""
    members = np.where(np.isnan(members), statistics.mean[channel], members)
    geometry = statistics.geometry
    if not geometry.has_modes:
        axis.set_axis_off()
        axis.text(0.5, 0.5, "points without order\nhave no spectrum", ha="center", va="center", transform=axis.transAxes)
        return
    shown = slice(1, geometry.highest + 1)
    k, data = statistics.wavenumber[shown], statistics.spectrum[channel, shown]
    spectra, last = geometry.spectrum(members)[:, shown], quarter_of(statistics)
    title, along, limit = SPECTRUM_LABELS.get(geometry.basis, SPECTRUM_LABELS["region"])
    if len(spectra) > 1:
        low, high = np.quantile(spectra, (0.1, 0.9), axis=0)
        axis.fill_between(k, low, high, color=ACCENT, alpha=0.25, linewidth=0, label="80 % of members")
    axis.plot(k, data, color=INK, linewidth=2.5, label=label.lower())
    drawn = "mean of members" if len(spectra) > 1 else "the member"
    axis.plot(k, spectra.mean(0), color=ACCENT, linewidth=1.8, linestyle=(0, (4, 1.5)), label=drawn)
    axis.axvline(last, color="#888888", linewidth=1.2, linestyle=":", label=f"{limit} ({last})")
    axis.set(xscale="log", yscale="log", xlabel=along, title=title, xlim=(k[0], k[-1]))
    axis.set_ylabel(
        f"mean square per {'degree' if geometry.spherical else 'shell'} ({pretty(statistics.units[channel], squared=True)})"
    )
    axis.set_ylim(bottom=max(min(data.min(), spectra.min()), 1e-8 * data.max()) / 2)
    ticks = [2**i for i in range(16) if 2**i <= k[-1]]
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    axis.grid(color=FAINT, linewidth=0.6)
    axis.legend(loc="lower left", fontsize=10, edgecolor="none", framealpha=0.7)
