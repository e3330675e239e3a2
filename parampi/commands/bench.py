"""`parampi bench`: one verb for each measurement."""

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from parampi.commands.bench_machine import COMMANDS
from parampi.commands.bench_rollout import rollout

if TYPE_CHECKING:
    import torch

    from parampi.bench.subject import Subject
    from parampi.diffusion.denoisers import Denoiser
    from parampi.parallel import Mode
    from parampi.run.config import RunConfig


from_half = click.option(
    "--half",
    type=click.Choice(["develop", "judge", "both"]),
    default="develop",
    show_default=True,
    help="Families that are drawn from; nothing is fitted to those to judge by.",
)
of_solvers = click.option(
    "--solver", "solvers", multiple=True, help="Only these solvers, as the table names them (repeatable)."
)


@click.group()
def bench() -> None:
    """Measure rounds, evaluations and errors on closed-form problems, and the engine's own cost."""


for command in COMMANDS:
    bench.add_command(command)


def show(measurement: ModuleType, rows: Any, as_json: bool) -> None:
    """Print rows as a table or as JSON."""
    print(measurement.to_json(rows) if as_json else measurement.to_markdown(rows))


def subject_of(config: Path | None) -> "Subject | None":
    """Return the network of a run's configuration, its statistics and the range of its noise levels."""
    if config is None:
        return None
    import torch

    from parampi.bench.subject import Subject
    from parampi.run.config import build, load
    from parampi.solvers.spectral.prior import SpectralPrior

    run = load(config)
    levels = build(run, "sigmas")
    positive = levels[levels > 0]
    return Subject(
        name="network",
        denoiser=denoiser_of(run, torch.float32),
        exact=denoiser_of(run, torch.float64),
        shape=tuple(run.model.shape),
        statistics=SpectralPrior.from_file(run.data.statistics),
        lowest=float(positive[-1]),
        highest=float(positive[0]),
        batch=16,
    )


def denoiser_of(run: "RunConfig", dtype: "torch.dtype") -> "Denoiser":
    """Return the network of a run; one that reads conditions under the first of them."""
    import torch

    from parampi.bench.subject import OneCase
    from parampi.errors import ConfigError
    from parampi.run import inputs, model_loading
    from parampi.run.config import build

    cpu = torch.device("cpu")
    denoiser = model_loading.build_denoiser(model_loading.load_network(run, cpu).to(dtype), run, build(run, "sigmas"), cpu)
    card = inputs.read_card(run)
    conditions = inputs.open_conditions(run, card, inputs.read_statistics(run, card))
    if conditions is None:
        return denoiser
    if run.model.prepare is not None:
        raise ConfigError("model.prepare: a bench reads conditions as the files have them; measure a run without prepare")
    first = conditions(conditions.cases.indices[:1])[0]
    return OneCase(denoiser, torch.from_numpy(first).to(dtype))


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--seeds", default=5, show_default=True, help="Seeds per case; medians are shown.")
@click.option("--case", "cases", multiple=True, help="Only these cases, such as ddim-100 (repeatable).")
@click.option("--problem", "problems", multiple=True, help="Only these problems, such as gmm64 (repeatable).")
@of_solvers
@click.option("--tolerance", default=1e-3, show_default=True, help="Of the solver's own rule.")
def rounds(
    as_json: bool, seeds: int, cases: tuple[str, ...], problems: tuple[str, ...], solvers: tuple[str, ...], tolerance: float
) -> None:
    """Measure rounds, evaluations and final error per problem and solver."""
    from parampi.bench import rounds as measurement

    show(measurement, measurement.measure(seeds, cases=cases, problems=problems, solvers=solvers, tolerance=tolerance), as_json)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@of_solvers
@click.option("--sampler", "samplers", multiple=True, help="ddim or ddpm (repeatable); both are measured otherwise.")
@click.option("--shape", "shapes", multiple=True, help="Of the fields, such as 8x721x1440 (repeatable).")
@click.option("--points", multiple=True, type=click.IntRange(min=1), help="On the rank (repeatable).")
@click.option(
    "--dtype", "dtypes", multiple=True, type=click.Choice(["float32", "float64"]), default=["float64"], show_default=True
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--mode", type=click.Choice(["fast", "bitwise"]), default="fast", show_default=True)
def engine(
    as_json: bool,
    solvers: tuple[str, ...],
    samplers: tuple[str, ...],
    shapes: tuple[str, ...],
    points: tuple[int, ...],
    dtypes: tuple[str, ...],
    device: str,
    mode: "Mode",
) -> None:
    """Measure what a round costs besides the network, and what it does, on one rank and one core."""
    import torch

    from parampi.bench import engine as measurement

    numbers = [getattr(torch, name) for name in dtypes]
    sizes = [shape_of(shape) for shape in shapes]
    rows = measurement.measure(
        solvers=solvers, samplers=samplers, shapes=sizes, points=points, dtypes=numbers, device=device, mode=mode
    )
    show(measurement, rows, as_json)


def shape_of(text: str) -> tuple[int, ...]:
    """Return the shape that a text such as 8x721x1440 names. Raises a usage error for another text."""
    sizes = text.split("x")
    if len(sizes) < 2 or not all(size.isdecimal() and int(size) for size in sizes):
        raise click.BadParameter(f"{text!r} is no shape of fields; give channels and axes of space, such as 8x721x1440")
    return tuple(int(size) for size in sizes)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--runs", default=100, show_default=True, help="Runs that are drawn, of 4 members each.")
@click.option("--seed", default=0, show_default=True, help="Of the draws; the same draws for the same seed and options.")
@from_half
@click.option("--family", "families", multiple=True, help="Only these families, such as edges (repeatable).")
@click.option("--sampler", "samplers", multiple=True, help="Only these samplers, such as ddpm (repeatable).")
@of_solvers
@click.option("--config", type=click.Path(path_type=Path), help="A run's configuration, whose network is drawn from instead.")
@click.option("--tenth", is_flag=True, help="Make each run also with a tenth of its tolerance.")
def tolerance(
    as_json: bool,
    runs: int,
    seed: int,
    half: str,
    families: tuple[str, ...],
    samplers: tuple[str, ...],
    solvers: tuple[str, ...],
    config: Path | None,
    tenth: bool,
) -> None:
    """Measure true and estimated errors of random runs against their tolerance, and their rounds against an oracle's."""
    from parampi.bench import tolerance as measurement

    network = subject_of(config)
    choices = measurement.choices_of(half, families=families, samplers=samplers, solvers=solvers, network=network)
    with click.progressbar(length=runs, label="runs", file=sys.stderr) as bar:

        def report(draw: Any, error: Exception | None) -> None:
            bar.update(1)
            if error:
                print(f"a run failed and is left out: {draw}: {error}", file=sys.stderr)

        records = measurement.measure(choices, runs, seed, tenth, report)
    show(measurement, measurement.rows_of(records), as_json)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("--members", default=20_000, show_default=True, type=click.IntRange(min=2), help="Of each ensemble.")
@click.option("--seed", default=0, show_default=True, help="Of the members' noise.")
@from_half
@click.option("--family", "families", multiple=True, help="Only these families, such as 'heavy vectors' (repeatable).")
@click.option("--sampler", "samplers", multiple=True, help="These samplers by turns, such as ddpm (repeatable).")
@of_solvers
@click.option("--tolerance", "tolerances", multiple=True, type=float, help="Instead of 1e-1 and 1e-2 (repeatable).")
def law(
    as_json: bool,
    members: int,
    seed: int,
    half: str,
    families: tuple[str, ...],
    samplers: tuple[str, ...],
    solvers: tuple[str, ...],
    tolerances: tuple[float, ...],
) -> None:
    """Test whether ensembles drawn in parallel have the serial ensemble's law: modes, marginals, energy distance."""
    from parampi.bench import law as measurement
    from parampi.bench.law_cases import cases_of

    cases = cases_of(half, families=families, samplers=samplers, solvers=solvers, tolerances=tolerances)
    with click.progressbar(length=len(cases), label="cases", file=sys.stderr) as bar:
        rows = measurement.measure(cases, members, seed, lambda case: bar.update(1))
    show(measurement, rows, as_json)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--seeds", default=5, show_default=True, help="Seeds per case; medians are shown.")
@click.option("--config", type=click.Path(path_type=Path), help="A run's configuration, whose network is measured instead.")
@click.option("--case", "cases", multiple=True, help="Of the network, only these cases, such as heun-18 (repeatable).")
@of_solvers
def windows(as_json: bool, seeds: int, config: Path | None, cases: tuple[str, ...], solvers: tuple[str, ...]) -> None:
    """Measure rounds to 1e-2 in windows of 8 to 64 points of 1000; or of a trained network, in one and in windows of 8."""
    from parampi.bench import windows as measurement

    show(measurement, measurement.measure(subject_of(config), seeds, cases, solvers), as_json)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--seeds", default=5, show_default=True, help="Seeds per case; medians are shown.")
@click.option("--problem", "problems", multiple=True, help="Only these closed-form problems, such as gmm64 (repeatable).")
@click.option("--config", type=click.Path(path_type=Path), help="A run's configuration, whose network is measured too.")
@click.option("--figure", type=click.Path(path_type=Path), help="Draw the errors against rounds.")
def accuracy(as_json: bool, seeds: int, problems: tuple[str, ...], config: Path | None, figure: Path | None) -> None:
    """Measure errors to the true probability-flow solution against rounds: serial samplers and collocation."""
    from parampi.bench import accuracy as measurement

    rows = measurement.measure(problems, subject_of(config), seeds)
    show(measurement, rows, as_json)
    if figure:
        from parampi.verify.accuracy import accuracy_figure

        accuracy_figure(figure, rows)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@of_solvers
@click.option("--sampler", "samplers", multiple=True, help="ddim or ddpm (repeatable); both are measured otherwise.")
@click.option("--size", "sizes", multiple=True, type=click.IntRange(min=8), help="Grid points along a side (repeatable).")
def growth(as_json: bool, solvers: tuple[str, ...], samplers: tuple[str, ...], sizes: tuple[int, ...]) -> None:
    """Measure how rounds, the engine's cost and messages grow with the size of fields, from 8x8 to 256x256."""
    from parampi.bench import growth as measurement

    show(measurement, measurement.measure(sizes or measurement.SIZES, solvers=solvers, samplers=samplers), as_json)


bench.add_command(rollout)
