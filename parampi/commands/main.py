"""The command line. Every verb works alone and under mpiexec or srun; what is printed comes from rank 0."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from parampi import __version__
from parampi.errors import DataError, InterruptionError, LaunchError, NonFiniteError, UserError
from parampi.parallel.launch import abort_on_error, launched_rank, mpi_version, world
from parampi.run import stop_request

USER_ERROR, NETWORK_ERROR, INTERRUPTED = 2, 3, 75
"""Exit codes; 75 is EX_TEMPFAIL of sysexits.h: come again."""
CODES = {UserError: USER_ERROR, NonFiniteError: NETWORK_ERROR, InterruptionError: INTERRUPTED}
LAST_WORD = 1.0
"""Seconds that other ranks leave rank 0 to say what is wrong: launchers kill all ranks when the first one ends."""


def exit_code(work: Callable[[], Any], rank: int) -> int:
    """The exit code of a verb; a user's mistake and a failing network print one line, on rank 0."""
    try:
        work()
    except (UserError, NonFiniteError, InterruptionError) as error:
        if rank == 0:
            print(f"parampi: {error}", file=sys.stderr, flush=True)
        else:
            # ranks that do not see one another start seconds apart
            time.sleep(10 * LAST_WORD if isinstance(error, LaunchError) else LAST_WORD)
        return next(code for kind, code in CODES.items() if isinstance(error, kind))
    return 0


def hearing() -> AbstractContextManager[stop_request.StopRequest]:
    """An alarm that hears signals: that of this process, if it has had one from its start."""
    return nullcontext(stop_request.early) if stop_request.early else stop_request.StopRequest().listening()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="parampi")
def commands() -> None:
    """Ensembles from diffusion models of physics fields, parallel in time."""


@commands.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1)
@click.option("--overwrite", is_flag=True, help="Replace output files that exist.")
@click.option("--progress", type=click.Choice(["auto", "bar", "lines"]), default="auto", show_default=True,
              help="A bar, or a line per block; auto: a bar on a terminal, which ranks behind mpiexec cannot see.")  # fmt: skip
def run(config: Path, overrides: tuple[str, ...], overwrite: bool, progress: str) -> int:
    """Draw the ensemble that CONFIG describes, with OVERRIDES such as sampling.members=4 on top."""

    def work() -> None:
        comm = world()
        with hearing() as heard, abort_on_error(comm):
            from parampi.parallel.agree import on_root
            from parampi.run.config import RunConfig, load
            from parampi.run.job import run as draw

            resolved = on_root(comm, lambda: load(config, overrides).as_dict())
            draw(RunConfig.model_validate(resolved), comm, overwrite, progress, alarm=heard)

    return exit_code(work, launched_rank())


@commands.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1)
@click.option("--progress", type=click.Choice(["auto", "bar", "lines"]), default="auto", show_default=True,
              help="As in parampi run.")  # fmt: skip
def resume(directory: Path, overrides: tuple[str, ...], progress: str) -> int:
    """Go on with the run in DIRECTORY, on any number of ranks. OVERRIDES may change parallel and checkpoint."""

    def work() -> None:
        comm = world()
        with hearing() as heard, abort_on_error(comm):
            from parampi.parallel.agree import on_root
            from parampi.run.checkpoint.folder import Folder
            from parampi.run.config import RunConfig, resolved
            from parampi.run.job import run as draw

            def stored() -> dict[str, Any]:
                tree = Folder(directory).about()["config"]
                tree["output"]["directory"] = str(directory)
                return resolved(tree, overrides, directory).as_dict()

            config = RunConfig.model_validate(on_root(comm, stored))
            draw(config, comm, progress=progress, resume=True, alarm=heard)

    return exit_code(work, launched_rank())


@commands.command()
@click.argument("ensemble", type=click.Path(path_type=Path))
@click.option("--member", type=int, required=True, help="Its number, as in the variable realization.")
@click.option("--case", type=int, help="With conditions: the index of the case in their files.")
@click.option("--variable", "variables", multiple=True, help="Compare this one (repeatable); all by default.")
def rerun(ensemble: Path, member: int, case: int | None, variables: tuple[str, ...]) -> int:
    """Draw one member of ENSEMBLE again, from the file's own attributes, and compare it with what is stored."""

    def work() -> None:
        comm = world()
        with abort_on_error(comm):
            from parampi.run.rerun import rerun as again

            found = again(ensemble, member, case, comm, variables)
            if launched_rank() == 0:
                print(found.table(), flush=True)

    return exit_code(work, launched_rank())


@commands.command()
@click.argument("weights", type=click.Path(path_type=Path))
@click.option("--channel", "channels", multiple=True, help="What the network draws, in its order (repeatable).")
@click.option("--condition", "condition", multiple=True, help="What it is given, in its order (repeatable).")
@click.option("--predicts", type=click.Choice(["edm", "epsilon", "velocity", "data", "score"]), help="As model.predicts.")
@click.option("--sigma-data", type=float, help="As model.sigma_data.")
def card(
    weights: Path, channels: tuple[str, ...], condition: tuple[str, ...], predicts: str | None, sigma_data: float | None
) -> int:
    """Show what the file WEIGHTS says of its network's channels, or write it there. Runs then match variables by name."""

    def work() -> None:
        from parampi.run import card as cards

        given = cards.Card(channels or None, condition or None, predicts, sigma_data)
        if given != cards.Card():
            cards.write(weights, given)
        if not weights.is_file():
            raise DataError(f"there is no file {weights}")
        found = cards.read(weights)
        print("\n".join(f"{name}: {value}" for name, value in vars(found).items() if value is not None) or "no card")

    return exit_code(work, launched_rank())


@commands.command()
@click.argument("ensemble", type=click.Path(path_type=Path))
def check(ensemble: Path) -> int:
    """Find what is wrong with the file ENSEMBLE: parts that are missing, truncated or foreign, members that are missing or have
    gaps. Needs no MPI."""

    def work() -> None:
        from parampi.fields.stores.check import check as examine

        found = examine(ensemble)
        print(found.table(), flush=True)
        if found.problems:
            raise DataError(f"{ensemble} has {len(found.problems)} problem{'s' * (len(found.problems) > 1)}")
        print("no problem was found")

    return exit_code(work, 0)


@commands.command()
@click.argument("ensembles", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--compression", type=click.IntRange(0, 9), default=0, show_default=True, help="0 is none, 9 the slowest.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
def merge(ensembles: tuple[Path, ...], output: Path, compression: int, overwrite: bool) -> int:
    """Make one plain file of ENSEMBLES: of one in parts, or of several with different members, as a job array draws them. Needs
    no MPI."""

    def work() -> None:
        from parampi.fields.stores.merge import merge as join

        found = join(ensembles, output, compression, overwrite)
        left_out = f"; left out, as not true of all members: {', '.join(found.dropped)}" if found.dropped else ""
        print(f"wrote {output}: {found.members} members, {found.finished} of {found.fields} fields finished{left_out}")

    return exit_code(work, 0)


@commands.command()
@click.argument("ensemble", type=click.Path(path_type=Path))
@click.option("--statistics", type=click.Path(path_type=Path), required=True, help="Statistics file of the data.")
def verify(ensemble: Path, statistics: Path) -> int:
    """Compare an ensemble file with its data: spectrum per shell, kurtosis, standard deviation."""

    def work() -> None:
        from parampi.verify import compare

        print(compare(ensemble, statistics).table())

    return exit_code(work, 0)


@commands.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("statistics.nc"), show_default=True, help="File to write."
)
@click.option("--variable", "variables", multiple=True, help="A channel, in the network's order (repeatable); all by default.")
@click.option(
    "--missing",
    type=click.Choice(["refuse", "mean"]),
    default="refuse",
    show_default=True,
    help="Missing values: refuse them, or leave them out, with the mean in their place for the spectrum.",
)
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
def stats(data: tuple[Path, ...], output: Path, variables: tuple[str, ...], missing: Any, overwrite: bool) -> int:
    """Mean, standard deviation and spectrum per channel of samples (..., y, x) in NetCDF files of any size, shared by ranks."""

    def work() -> None:
        comm = world()
        with abort_on_error(comm):
            from parampi.fields import FileSamples, check_target
            from parampi.parallel.agree import Reducer, on_all, on_root

            on_root(comm, lambda: check_target(output, overwrite))
            with on_all(comm, FileSamples(data, variables).__enter__) as samples:
                found = samples.statistics(Reducer(comm), missing)
            on_root(comm, lambda: found.save(output))
            if launched_rank() == 0:
                print(describe_statistics(found), f"wrote {output}", sep="\n", flush=True)

    return exit_code(work, launched_rank())


def describe_statistics(found: Any) -> str:
    rows = zip(found.names, found.mean, found.standard_deviation, found.units, strict=True)
    return "\n".join(
        f"{name}: mean {mean:.6g}, standard deviation {deviation:.6g} {units}, {found.samples} samples"
        for name, mean, deviation, units in rows
    )


@commands.group()
def bench() -> None:
    """Measure rounds, evaluations and errors on closed-form problems, and the engine's own cost."""


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--seeds", default=5, show_default=True, help="Seeds per case; medians are shown.")
@click.option("--case", "cases", multiple=True, help="Only these cases, such as ddim-100 (repeatable).")
@click.option("--problem", "problems", multiple=True, help="Only these problems, such as gmm64 (repeatable).")
@click.option("--solver", "solvers", multiple=True, help="Only these solvers, as the table names them (repeatable).")
@click.option("--tolerance", default=1e-3, show_default=True, help="Of the solver's own rule.")
def rounds(
    as_json: bool, seeds: int, cases: tuple[str, ...], problems: tuple[str, ...], solvers: tuple[str, ...], tolerance: float
) -> int:
    """Rounds, evaluations and final error per problem and solver."""

    def work() -> None:
        from parampi.bench import rounds as measure

        table = measure.measure(seeds, cases, problems, solvers, tolerance)
        print(measure.to_json(table) if as_json else measure.to_markdown(table))

    return exit_code(work, 0)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def overhead(as_json: bool) -> int:
    """Time per round that is not the network's, at window 64 with 64x64 float64 fields on one rank."""

    def work() -> None:
        from parampi.bench import overhead as measure

        table = measure.measure()
        print(measure.to_json(table) if as_json else measure.to_markdown(table))

    return exit_code(work, 0)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--seeds", default=5, show_default=True, help="Seeds per case and tolerance.")
@click.option("--problem", "problems", multiple=True, help="Only these problems, such as gmm64 (repeatable).")
@click.option("--sampler", "samplers", multiple=True, help="Only these samplers, such as ddim-50 (repeatable).")
@click.option("--solver", default="spectral", show_default=True, help="spectral; spectral, nothing known; or picard.")
def tolerance(as_json: bool, seeds: int, problems: tuple[str, ...], samplers: tuple[str, ...], solver: str) -> int:
    """True and estimated errors of many runs against their tolerance, and their rounds against an oracle's."""

    def work() -> None:
        from parampi.bench import tolerance as measure

        table = measure.measure(seeds, problems, samplers, solver)
        print(measure.to_json(table) if as_json else measure.to_markdown(table))

    return exit_code(work, 0)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--seeds", default=5, show_default=True, help="Seeds per case; medians are shown.")
@click.option("--config", type=click.Path(path_type=Path), help="A run's configuration, whose network is measured instead.")
@click.option("--case", "cases", multiple=True, help="Of the network, only these cases, such as heun-18 (repeatable).")
@click.option("--solver", "solvers", multiple=True, help="Only these solvers, as the table names them (repeatable).")
def windows(as_json: bool, seeds: int, config: Path | None, cases: tuple[str, ...], solvers: tuple[str, ...]) -> int:
    """Rounds to 1e-2 in windows of 8 to 64 points of 1000; or of a trained network, in one window and in windows of 8."""

    def work() -> None:
        from parampi.bench import windows as measure

        table = measure.measure(config, seeds, cases, solvers)
        print(measure.to_json(table) if as_json else measure.to_markdown(table))

    return exit_code(work, 0)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--seeds", default=5, show_default=True, help="Seeds per case; medians are shown.")
@click.option("--problem", "problems", multiple=True, help="Only these closed-form problems, such as gmm64 (repeatable).")
@click.option("--config", type=click.Path(path_type=Path), help="A run's configuration, whose network is measured too.")
@click.option("--figure", type=click.Path(path_type=Path), help="Draw the errors against rounds.")
def accuracy(as_json: bool, seeds: int, problems: tuple[str, ...], config: Path | None, figure: Path | None) -> int:
    """Errors to the true probability-flow solution against rounds: serial samplers and collocation."""

    def work() -> None:
        from parampi.bench import accuracy as measure

        table = measure.measure(problems, config, seeds)
        print(measure.to_json(table) if as_json else measure.to_markdown(table))
        if figure:
            from parampi.verify.accuracy import accuracy_figure

            accuracy_figure(figure, table)

    return exit_code(work, 0)


@commands.command()
def info() -> int:
    """Versions and devices, for reports of trouble."""
    import torch

    import parampi

    print(
        f"parampi {parampi.__version__}, torch {torch.__version__}, MPI {mpi_version()}, "
        f"{torch.cuda.device_count()} CUDA device(s)"
    )
    return 0


def main() -> None:
    """GuessContext point of the console script."""
    try:
        code = commands.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.ClickException as error:
        if launched_rank() == 0:
            error.show()
        code = error.exit_code
    except click.Abort:
        code = 130
    sys.exit(code or 0)
