"""Score the forecasts that run.yaml draws: against what followed, and against persistence, per lead time.

    python examples/04_forecast/evaluate.py                    # of examples/04_forecast/output/ensemble.nc

Prints the fair CRPS of the ensemble and of persistence (the field at the start, for which it is the mean absolute error), with
one standard error over starts; the root mean square error of the ensemble's mean beside its spread, all in s-1; and spectra.
Draws one forecast as forecast.png beside the ensemble.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import xarray

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import scores  # noqa: E402

BANDS = {"1-4": slice(0, 4), "5-8": slice(4, 8), "9-12": slice(8, 12), "13-16": slice(12, 16)}


def read(ensemble, starts, truth):
    """Members (member, start, lead time, y, x), starts (start, y, x), truth (start, lead time, y, x), and seconds of lead time;
    the members' starts alone."""
    with (
        xarray.open_dataset(ensemble, decode_timedelta=False) as drawn, xarray.open_dataset(starts) as first,
        xarray.open_dataset(truth) as after,
    ):  # fmt: skip
        places = after.indexes["time"].get_indexer(drawn["valid_time"].values.ravel()).reshape(drawn["valid_time"].shape)
        count = int((places >= 0).all(0).sum())  # lead times that the truth has
        members = drawn["vorticity"][:, :, :count].values.astype(float)
        begin = first["vorticity"].sel(time=drawn["forecast_reference_time"].values).values.astype(float)
        true = after["vorticity"].values.astype(float)[places[:, :count]]
        return members, begin, true, drawn["lead_time"].values[:count]


def rows(members, begin, truth):
    """Per lead time: CRPS and its standard error, that of persistence, error of the mean, spread, and ratios of spectra."""
    drawn, persistence = scores.fair_crps(members, truth), np.abs(begin[:, None] - truth).mean((-2, -1))
    ratios = scores.spectrum_ratio(members, truth)
    columns = [drawn.mean(0), scores.standard_error(drawn), persistence.mean(0), scores.skill(members, truth)]
    columns += [scores.spread(members), *(ratios[:, band].mean(1) for band in BANDS.values())]
    return np.stack(columns, 1)


def table(values, seconds):
    """One line per lead time."""
    heads = ["lead time", "CRPS", "+-", "persistence", "error", "spread", "ratio", *(f"shells {name}" for name in BANDS)]
    lines = ["  ".join(heads)]
    for lead, row in zip(seconds, values, strict=True):
        numbers = [lead, *row[:5], row[4] / row[3], *row[5:]]
        lines.append("  ".join(f"{value:{len(head)}.3f}" for head, value in zip(heads, numbers, strict=True)))
    return "\n".join(lines)


def draw(path, members, truth, seconds, start=0):
    from matplotlib.figure import Figure

    leads = np.linspace(0, len(seconds) - 1, 4).round().astype(int)
    lines = {"what followed": truth[start], "member 0": members[0, start], "member 1": members[1, start]}
    lines["standard deviation"] = members[:, start].std(0, ddof=1)
    figure = Figure(figsize=(10, 10), dpi=110, layout="constrained")
    most = np.abs(truth[start]).max()
    for axes, (title, fields) in zip(figure.subplots(4, 4), lines.items(), strict=True):
        spread = title.startswith("standard")
        for axis, lead in zip(axes, leads, strict=True):
            image = axis.imshow(fields[lead], origin="lower", cmap="magma" if spread else "RdBu_r", vmin=0 if spread else -most,
                                vmax=most / 2 if spread else most, extent=(0, 2 * np.pi, 0, 2 * np.pi))  # fmt: skip
            axis.set(title=f"{title}, {seconds[lead]:g} s", xticks=[], yticks=[])
        figure.colorbar(image, ax=list(axes), shrink=0.9, label="vorticity (s$^{-1}$)")
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ensemble", type=Path, nargs="?", default=HERE / "output" / "ensemble.nc")
    parser.add_argument("--folder", type=Path, default=HERE, help="where starts.nc and truth.nc are")
    options = parser.parse_args()
    members, begin, truth, seconds = read(options.ensemble, options.folder / "starts.nc", options.folder / "truth.nc")
    print(f"{members.shape[0]} members, {members.shape[1]} starts")
    print(table(rows(members, begin, truth), seconds))
    draw(options.ensemble.with_name("forecast.png"), members, truth, seconds)


if __name__ == "__main__":
    main()
