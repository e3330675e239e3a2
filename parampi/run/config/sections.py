"""The sections of a configuration, and what their keys may be."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, PlainValidator, model_validator

from parampi.errors import ConfigError
from parampi.networks.acceleration import TIMED, CompileMode, Half
from parampi.run.config.choices import chosen
from parampi.run.config.model_parts import STRICT, Hook, Patches, Threshold, as_hook, compile_mode, scales
from parampi.run.config.output_section import Output
from parampi.run.config.path_names import PathName
from parampi.run.config.values import case_of, check_members, seconds


class Strict(BaseModel):
    """A section: unknown keys and wrong types are refused."""

    model_config = STRICT


def optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what checks a value that may be None."""
    return lambda value: None if value is None else check(value)


class Model(Strict):
    """The network and what it predicts. `clock`: what the network is told of noise levels, None for the training times of
    `sampling.sigmas`, EDM's log(sigma) / 4, or sigma. `scaled_input`: whether networks with training times see alpha x or x.
    `plugins`: files (`my_module.py`) and modules that register samplers, solvers, schedules, clocks, bases or stores, which
    other keys may then name. `prepare`: a function that is called once per case, and makes of its condition what the network
    reads; `finish`: one that makes the field that is kept, of the drawn one and of what `prepare` returned. `clip` and
    `threshold`: denoised fields are cut off, at a number or a quantile. `probe`: whether the network is first called for a few
    fields, to see whether it denoises. `network` None: `weights` hold the network too; `weights` None: the network brings its
    own. `key` and `strip_prefix`: where the tensors are in a checkpoint, and what their names begin with. `compile`,
    `autocast`, `channels_last` and `cuda_graphs`: how the network is run, see `parampi.accelerated`."""

    network: PathName | None = None
    arguments: dict[str, Any] = {}
    weights: PathName | None = None
    key: str | None = Field(None, min_length=1)
    strip_prefix: str = ""
    compile: Annotated[bool | CompileMode, BeforeValidator(compile_mode)] = False
    autocast: Half | None = None
    channels_last: bool = False
    cuda_graphs: bool = False
    predicts: Literal["edm", "denoiser", "epsilon", "velocity", "data", "score", "flow"]
    clock: Annotated[Any, PlainValidator(optional(chosen("clock")))] = None
    scaled_input: bool = True
    sigma_data: Annotated[float | list[float], PlainValidator(scales)] = 1.0
    shape: list[Annotated[int, Field(ge=1)]] = Field(min_length=2)
    plugins: list[PathName] = []
    prepare: Annotated[Hook | None, BeforeValidator(as_hook)] = None
    finish: Annotated[Hook | None, BeforeValidator(as_hook)] = None
    patches: Patches | None = None
    clip: float | None = Field(None, gt=0, allow_inf_nan=False)
    threshold: Threshold | None = None
    probe: bool = True

    @model_validator(mode="after")
    def has_a_network(self) -> "Model":
        if self.network is None and self.weights is None:
            raise ValueError("give network, the class of the network, or weights, a file that holds the whole network, or both")
        if self.network is None and self.arguments:
            raise ValueError("arguments are of the class that network names; give network too")
        if self.weights is None and (self.key or self.strip_prefix):
            raise ValueError("key and strip_prefix are of a file of weights; give weights too")
        return self

    @model_validator(mode="after")
    def has_such_a_layout(self) -> "Model":
        if self.channels_last and len(self.shape) != 3:
            raise ValueError(
                f"channels_last is a layout of fields (channels, y, x), and shape = {self.shape} has {len(self.shape)} axes; "
                f"leave it out"
            )
        return self

    @model_validator(mode="after")
    def cut_off_once(self) -> "Model":
        if self.clip is not None and self.threshold is not None:
            raise ValueError("clip and threshold both cut fields off; give one of them")
        return self


class Data(Strict):
    """The statistics file: names and units, mean and standard deviation per channel, spectrum, reference fields. `field_axes`:
    names of the axes of fields that are no maps (y, x), where the statistics file does not name them."""

    statistics: PathName
    field_axes: list[str] = []


class Condition(Strict):
    """The conditions of a network: variables (time, y, x) of NetCDF or HDF5 files, by name, in the network's order. Each time
    is a case, for which all members are drawn. `select`: indices or dates of cases, None for all; `statistics`: what normalises
    the variables, those of the data if None; `missing`: refuse missing values, or give the mean in their place. `static` and
    `static_variables`: a file of fields (y, x) that follow the variables in every case. `lead_times`: forecasts in a row,
    each from the one before, whose channels take the places of the variables of `feed` (by default those of the same name);
    `lead_step`: time from one to the next, such as 6 hours, that of the files if None; `forcing_at`: variables that no result
    replaces are those of the time from which a step goes ("start") or of that to which it goes ("end"). `axes`: names of the
    files' axes in the order of storage, where these have none."""

    files: PathName | list[PathName]
    variables: list[str] = Field(min_length=1)
    select: list[Annotated[int | str, PlainValidator(case_of)]] | None = None
    statistics: PathName | None = None
    missing: Literal["refuse", "mean"] = "refuse"
    static: PathName | None = None
    static_variables: list[str] = []
    lead_times: int | None = Field(None, ge=1)
    lead_step: str | None = None
    forcing_at: Literal["start", "end"] = "start"
    feed: dict[str, str] | None = None
    axes: list[str] = []

    @model_validator(mode="after")
    def belongs_together(self) -> "Condition":
        if bool(self.static) != bool(self.static_variables):
            raise ValueError("static and static_variables belong together; give both or neither")
        if self.lead_times is None and (self.lead_step or self.feed):
            raise ValueError("lead_step and feed are of roll-outs; give lead_times too")
        return self


class Sampling(Strict):
    """The members, and how they are drawn."""

    members: Annotated[int | list[int], BeforeValidator(check_members)]
    seed: int = Field(0, ge=0, lt=2**63)
    sigmas: Annotated[Any, PlainValidator(chosen("sigmas"))]
    sampler: Annotated[Any, PlainValidator(chosen("sampler"))]
    solver: Annotated[Any, PlainValidator(chosen("solver"))]
    window: int | None = Field(None, ge=1)
    flight: int | None = Field(None, ge=1)
    tolerance: float = Field(1e-3, gt=0, allow_inf_nan=False)


def timeout(time: Any) -> Any:
    """Return `auto` as it is, and the seconds of everything else."""
    return time if time == "auto" else seconds(time)


def switch_or_auto(value: Any) -> Any:
    """Return true, false or `auto`."""
    if not (isinstance(value, bool) or value == "auto"):
        raise ValueError("give true, false or auto")
    return value


class Parallel(Strict):
    """The ranks and devices of a run. `layout`: members first, or as a plan for so many ranks chooses, and with it
    `time_ranks`, `network_batch`, `overlap` and `sampling.window`. `hang_timeout`: seconds or H:MM:SS that a round may take
    before the job is ended, None for no limit; `auto` is by the longest round so far."""

    layout: Literal["members", "auto"] = "members"
    time_ranks: int | None = Field(None, ge=1)
    mode: Literal["fast", "bitwise"] = "fast"
    device: str = "auto"
    dtype: Literal["float64", "float32"] = "float64"
    network_batch: int | None = Field(None, ge=1)
    batch: int | None = Field(None, ge=1)
    overlap: Annotated[bool | Literal["auto"], BeforeValidator(switch_or_auto)] = "auto"
    hang_timeout: Annotated[float | Literal["auto"] | None, BeforeValidator(timeout)] = "auto"

    @model_validator(mode="after")
    def belongs_together(self) -> "Parallel":
        if self.layout == "auto" and self.time_ranks is not None:
            raise ValueError(f"time_ranks = {self.time_ranks} and layout: auto, which chooses it; give one of the two")
        return self


def parallel_section(value: Any) -> Any:
    """Return the section that `parallel: auto` is short for, and every other value as it is."""
    return {"layout": "auto"} if value == "auto" else value


class Checkpoint(Strict):
    """Checkpoints, with which a run can be cut and go on. `every`: least seconds between two checkpoints, None for none at
    all; `max_walltime`: seconds or H:MM:SS after which the run stops in good order."""

    every: float | None = Field(30.0, ge=0, allow_inf_nan=False)
    max_walltime: Annotated[float | None, BeforeValidator(seconds)] = None


class RunConfig(Strict):
    """The whole of a run. Paths are relative to the YAML file; those of the command line, to the working directory."""

    model: Model
    data: Data
    condition: Condition | None = None
    sampling: Sampling
    parallel: Annotated[Parallel, BeforeValidator(parallel_section)] = Field(
        default_factory=lambda: Parallel.model_validate({})
    )
    checkpoint: Checkpoint = Field(default_factory=lambda: Checkpoint.model_validate({}))
    output: Output

    @model_validator(mode="after")
    def has_the_same_bits_on_all_ranks(self) -> "RunConfig":
        if self.parallel.mode == "bitwise" and self.model.compile in TIMED:
            raise ConfigError(
                f"model.compile = {self.model.compile} chooses kernels by timing them, so that two ranks may differ in their "
                f"bits, and parallel.mode = bitwise promises not to; take compile: true"
            )
        return self

    @model_validator(mode="after")
    def has_what_its_output_shows(self) -> "RunConfig":
        if self.output.initial_state and (self.condition is None or self.condition.lead_times is None):
            raise ConfigError(
                "output.initial_state = true, and without a roll-out nothing starts from a state; leave it out, or give "
                "condition.lead_times"
            )
        if self.output.order == "time_first" and self.condition is None:
            raise ConfigError(
                "output.order = time_first, and without conditions there are no times; leave it out, or give condition.files"
            )
        return self

    def as_dict(self) -> dict[str, Any]:
        """Return plain data that give the same configuration back; infinite numbers stay numbers."""
        return self.model_dump(mode="json")
