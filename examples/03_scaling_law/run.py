"""Measure how rounds and memory of PIADM, Picard and the serial sampler grow with the dimension of the data.

    python examples/03_scaling_law/run.py                    # 13 dimensions, three problems, minutes
    python examples/03_scaling_law/run.py --quick            # few dimensions

Writes scaling.json, scaling.md and a figure per problem, scaling.png for the first one, and prints the table.
"""

import argparse
from pathlib import Path

from scaling_law import DIMS, NAMES, QUICK, TOLERANCE, Scaling, measure, scaling_figure, to_json, to_markdown

from parampi import ConfigError

FOLDER = Path(__file__).parent


def main() -> None:
    """Measure, print and write."""
    parser = argument_parser()
    options = parser.parse_args()
    try:
        scaling = measure(QUICK if options.quick else DIMS, options.problem or NAMES, options.tolerance)
    except ConfigError as error:
        parser.error(str(error))
    print(to_markdown(scaling))
    write(scaling, options.output)


def argument_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"the dimensions {', '.join(map(str, QUICK))} only")
    parser.add_argument("--problem", action="append", choices=NAMES, help="this problem only; may be repeated")
    parser.add_argument(
        "--tolerance", type=float, default=TOLERANCE, help="its square is the divergence to reach (%(default)s)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "output", help="folder to write to (%(default)s)"
    )
    return parser


def write(scaling: Scaling, folder: Path) -> None:
    """Write the numbers as JSON, the table as Markdown and one figure per problem."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scaling.json").write_text(to_json(scaling) + "\n")
    (folder / "scaling.md").write_text(to_markdown(scaling) + "\n")
    problems = list(dict.fromkeys(row.problem for row in scaling.rows if row.problem != "any"))
    for number, problem in enumerate(problems):
        name = f"scaling-{problem}.png" if number else "scaling.png"
        scaling_figure(folder / name, scaling.rows, problem, scaling.tolerance)
    print(f"wrote {folder}/scaling.json, scaling.md and {len(problems)} figure{'s' * (len(problems) > 1)}")


if __name__ == "__main__":
    main()
