"""Measure how rounds and memory of PIADM, Picard and the serial sampler grow with the dimension of the data.

    python examples/03_scaling_law/run.py                    # 13 dimensions up to 65536
    python examples/03_scaling_law/run.py --quick            # 4 dimensions up to 1024

Prints the table and writes scaling.json, scaling.md and one figure per problem: scaling.png for the first problem,
scaling-NAME.png for each further one.
"""

import argparse
from pathlib import Path

from scaling_law import (
    DIMS,
    PROBLEM_NAMES,
    QUICK_DIMS,
    TOLERANCE,
    ScalingStudy,
    measure,
    scaling_figure,
    to_json,
    to_markdown,
)

from parampi import ConfigError

FOLDER = Path(__file__).parent


def main() -> None:
    """Measure, print and write."""
    parser = argument_parser()
    options = parser.parse_args()
    try:
        study = measure(QUICK_DIMS if options.quick else DIMS, options.problem or PROBLEM_NAMES, options.tolerance)
    except ConfigError as error:
        parser.error(str(error))
    print(to_markdown(study))
    write(study, options.output)


def argument_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four dimensions only")
    parser.add_argument("--problem", action="append", choices=PROBLEM_NAMES, help="only this problem (repeatable)")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="root of the divergence to meet (%(default)s)")
    parser.add_argument("--output", type=Path, default=FOLDER / "output", help="folder to write to (output/ beside this file)")
    return parser


def write(study: ScalingStudy, folder: Path) -> None:
    """Write the numbers as JSON, the table as Markdown and one figure per problem."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scaling.json").write_text(to_json(study) + "\n")
    (folder / "scaling.md").write_text(to_markdown(study) + "\n")
    problems = dict.fromkeys(row.problem for row in study.rows if row.problem != "any")
    names = [f"scaling-{problem}.png" if number else "scaling.png" for number, problem in enumerate(problems)]
    for name, problem in zip(names, problems, strict=True):
        scaling_figure(folder / name, study.rows, problem, study.tolerance)
    print(f"wrote to {folder}: {', '.join(('scaling.json', 'scaling.md', *names))}")


if __name__ == "__main__":
    main()
