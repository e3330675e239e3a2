"""Put the scores of several days into one table: means, and their standard errors over days.

python summary.py scores.csv scores/2001-03-01.nc scores/2001-03-11.nc ...
"""

import csv
import sys

import numpy as np
import xarray

NAMES = ("crps", "rmse", "spread_skill", "bias")


def main() -> None:
    target, files = sys.argv[1], sys.argv[2:]
    datasets = [xarray.load_dataset(file, decode_timedelta=False) for file in files]
    leads = datasets[0]["lead_time"].values
    with open(target, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["lead_time", "days", *(f"{name}{kind}" for name in NAMES for kind in ("", "_error"))])
        for k, lead in enumerate(leads):
            rows = [[float(dataset[f"t2m_{name}"][k]) for dataset in datasets] for name in NAMES]
            errors = [np.std(row, ddof=1) / len(row) ** 0.5 if len(row) > 1 else float("nan") for row in rows]
            means = [f"{number:.5g}" for row, error in zip(rows, errors, strict=True) for number in (np.mean(row), error)]
            writer.writerow([f"{lead:g}", len(files), *means])


if __name__ == "__main__":
    main()
