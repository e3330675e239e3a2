"""`python -m tests.campaign KIND --count N --seed S`: says what went wrong; ends with 1 if so."""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.campaign import damage, data, inputs, kills, mutations

KINDS = {
    "kills": kills.campaign,
    "flights": partial(kills.campaign, variants=kills.FLIGHTS),
    "bytes": damage.campaign,
    "config": mutations.campaign,
    "data": data.campaign,
    "inputs": inputs.campaign,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="parampi-campaign-") as folder:
        tally = KINDS[options.kind](Path(folder), options.count, options.seed)
    print(tally, flush=True)
    return 1 if tally.troubles else 0


if __name__ == "__main__":
    sys.exit(main())
