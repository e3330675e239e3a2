"""Statistics, forecasts from several days, their scores, one table, by Parsl. From this folder:

python parsl_flow.py
python parsl_flow.py --members 20 --ranks 4 2001-03-01 2001-03-11
"""

import argparse
from pathlib import Path

import parsl
from parsl import File, bash_app
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor

DAYS = ("2001-03-01", "2001-03-11", "2001-03-21")


@bash_app
def data(outputs=()):
    return f"python data.py {outputs[0]}"


@bash_app
def statistics(inputs=(), outputs=()):
    return f"parampi stats {inputs[0]} --variable t2m --output {outputs[0]} --overwrite"


@bash_app
def forecast(day, members, ranks, inputs=(), outputs=()):
    """A forecast that fails is started again, and goes on from its checkpoint."""
    return f"bash forecast.sh {day} {members} {ranks}"


@bash_app
def score(inputs=(), outputs=()):
    return f"parampi score {inputs[0]} --truth {inputs[1]} --output {outputs[0]} --overwrite"


@bash_app
def table(inputs=(), outputs=()):
    return f"python summary.py {outputs[0]} {' '.join(map(str, inputs))}"


def flow(days, members, ranks):
    """Return the table, as a file that is there once all else is done; whatever does not wait for another runs beside it."""
    series = data(outputs=[File("data/series.nc")]).outputs[0]
    known = statistics(inputs=[series], outputs=[File("data/statistics.nc")]).outputs[0]
    scores = []
    for day in days:
        target = [File(f"output/{day}/ensemble.nc")]
        ensemble = forecast(day, members, ranks, inputs=[series, known], outputs=target).outputs[0]
        scores.append(score(inputs=[ensemble, series], outputs=[File(f"scores/{day}.nc")]).outputs[0])
    return table(inputs=scores, outputs=[File("scores.csv")]).outputs[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("days", nargs="*", default=DAYS)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=2, help="how many commands run at the same time")
    asked = parser.parse_args()
    Path("scores").mkdir(exist_ok=True)
    with parsl.load(Config(executors=[ThreadPoolExecutor(max_threads=asked.at_once)], retries=2)):
        print(flow(asked.days, asked.members, asked.ranks).result())


if __name__ == "__main__":
    main()
