"""Score the ensembles that run.yaml draws: against the truth, and against what interpolation makes of the coarse fields.

    python examples/02_downscaling/evaluate.py                    # of examples/02_downscaling/output/ensemble.nc

Prints the continuous ranked probability score (CRPS) of each case, in s-1, in its fair form for ensembles (Ferro 2014, Q. J. R.
Meteorol. Soc. 140, 1917): mean |x_m - y| - mean |x_m - x_n| / 2 over pairs of different members. For one field, such as that of
interpolation, this is the mean absolute error. Draws one case as downscaling.png beside the ensemble.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
import xarray

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from model import finer  # noqa: E402

FACTOR = 4


def crps(members, truth):
    """Mean over points, of members (M, y, x)."""
    count = len(members)
    apart = np.abs(members[:, None] - members[None]).mean((2, 3)).sum() / (count * (count - 1))
    return np.abs(members - truth).mean() - apart / 2


def means(fields):
    """Means over cells of fields (..., y, x)."""
    *rest, n, m = fields.shape
    return fields.reshape(*rest, n // FACTOR, FACTOR, m // FACTOR, FACTOR).mean((-3, -1))


def scores(ensemble, coarse, truth):
    """Per case: CRPS of the ensemble, of interpolation, and how far the members' own coarse fields are from the given ones."""
    rows = []
    for t, time in enumerate(ensemble.time.values):
        at = np.flatnonzero(coarse.time.values == time)[0]
        members, given, true = (a.astype(float) for a in (ensemble.values[:, t], coarse.values[at], truth.values[at]))
        plain = finer(torch.from_numpy(given)[None, None], true.shape)[0, 0].numpy()
        rows.append((crps(members, true), np.abs(plain - true).mean(), np.sqrt(((means(members) - given) ** 2).mean())))
    return np.array(rows)


def draw(path, ensemble, coarse, truth, case=0):
    from matplotlib.figure import Figure

    panels = {"given, 16x16": coarse.values[case], "truth, 64x64": truth.values[case]}
    panels |= {f"member {m}": ensemble.values[m, case] for m in range(3)}
    panels["standard deviation"] = ensemble.values[:, case].std(0, ddof=1)
    figure = Figure(figsize=(13, 3.4), dpi=120, layout="constrained")
    most = np.abs(truth.values[case]).max()
    for axis, (title, field) in zip(figure.subplots(1, 6), panels.items(), strict=True):
        spread = title.startswith("standard")
        image = axis.imshow(field, origin="lower", cmap="magma" if spread else "RdBu_r", vmin=0 if spread else -most,
                            vmax=most / 2 if spread else most, extent=(0, 2 * np.pi, 0, 2 * np.pi))  # fmt: skip
        axis.set(title=title, xticks=[], yticks=[])
        figure.colorbar(image, ax=axis, location="bottom", shrink=0.9, label="vorticity (s$^{-1}$)")
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ensemble", type=Path, nargs="?", default=HERE / "output" / "ensemble.nc")
    options = parser.parse_args()
    with (
        xarray.open_dataset(options.ensemble) as drawn, xarray.open_dataset(HERE / "coarse.nc") as coarse,
        xarray.open_dataset(HERE / "truth.nc") as truth,
    ):  # fmt: skip
        rows = scores(drawn["vorticity"], coarse["vorticity"], truth["vorticity"])
        draw(options.ensemble.with_name("downscaling.png"), *(file["vorticity"] for file in (drawn, coarse, truth)))
    print("case  CRPS of the ensemble  of interpolation  distance to the given coarse field (s-1)")
    for case, row in enumerate(rows):
        print(f"{case:4d}  {row[0]:20.4f}  {row[1]:16.4f}  {row[2]:40.4f}")
    print(f"mean  {rows[:, 0].mean():20.4f}  {rows[:, 1].mean():16.4f}  {rows[:, 2].mean():40.4f}")


if __name__ == "__main__":
    main()
