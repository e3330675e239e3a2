"""The section `output` of a configuration."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator

from parampi.errors import ConfigError
from parampi.fields import STORES
from parampi.fields.atomic_files import PARTIAL
from parampi.fields.ensemble_axes import Order
from parampi.fields.ensemble_folders import ENDING
from parampi.fields.stores.parts import parts_folder
from parampi.run.checkpoint.ownership import folder_name
from parampi.run.config.model_parts import STRICT
from parampi.run.config.path_names import LONGEST_NAME, OutputName, PathName, normal_path, same_place

ENSEMBLE = "the ensemble"


def attribute_of_store(mode: str, name: str, default: Any) -> Any:
    """Return an attribute of the class of a store; the default for `auto`, and for a store that does not say."""
    return getattr(STORES.get(mode), name, default)


def check_store(mode: str) -> str:
    if mode != "auto" and mode not in STORES:
        raise ValueError(f"not a known {STORES.kind}; {STORES.choices(mode, 'auto')}")
    return mode


class Output(BaseModel):
    """The files of a run, in one directory. `mode`: who writes the ensemble: `gather` rank 0; `virtual` every rank that
    drives a group, into a file of its own beside a joint one; `mpio` the same ranks into one file; `auto` is virtual where
    there are several groups, gather else. `grid`: a file from which coordinates of cells and `grid_variables` are taken over;
    where its variable `mask` is 0 or missing, fields are. `order`: whether members or times are the first axes.
    `initial_state`: whether a roll-out's file begins with what forecasts start from, as lead time 0."""

    model_config = STRICT

    directory: PathName
    mode: Annotated[str, AfterValidator(check_store)] = "auto"
    ensemble: OutputName = "ensemble.nc"
    report: OutputName = "report.json"
    figure: OutputName | None = "report.png"
    page: OutputName | None = "report.html"
    log: OutputName | None = "run.log"
    order: Order = "member_first"
    initial_state: bool = False
    variables: list[str] | None = Field(None, min_length=1)
    members: bool = True
    summary: list[Literal["mean", "standard_deviation", "minimum", "maximum", "quantiles"]] = []
    quantiles: list[float] = [0.05, 0.5, 0.95]
    compression: int = Field(0, ge=0, le=9)
    digits: int | None = Field(None, ge=1, le=6)
    grid: PathName | None = None
    grid_variables: list[str] = []
    mask: str | None = None

    @model_validator(mode="before")
    @classmethod
    def ensemble_of_a_store(cls, section: Any) -> Any:
        """Name the ensemble as the store's files end."""
        if not isinstance(section, dict) or not isinstance(section.get("mode"), str):
            return section
        return {"ensemble": f"ensemble{attribute_of_store(section['mode'], 'ending', '.nc')}"} | section

    @model_validator(mode="after")
    def fits_the_store(self) -> "Output":
        is_folder, named = attribute_of_store(self.mode, "ending", "") == ENDING, self.ensemble.endswith(ENDING)
        if is_folder and not named:
            raise ValueError(f"mode = {self.mode} writes a Zarr store, and ensemble = {self.ensemble}; name it *{ENDING}")
        if named and not is_folder and attribute_of_store(self.mode, "schema_file", True):
            raise ValueError(
                f"ensemble = {self.ensemble}, and mode = {self.mode} writes no Zarr store; take mode: zarr, or another name"
            )
        return self

    @model_validator(mode="after")
    def belongs_together(self) -> "Output":
        if self.grid is None and (self.grid_variables or self.mask):
            raise ValueError("grid_variables and mask name variables of a file; give it as output.grid")
        return self

    @model_validator(mode="after")
    def each_has_a_name(self) -> "Output":
        names: dict[str, str] = {}
        if len(self.checkpoint.name.encode(errors="surrogateescape")) > LONGEST_NAME:
            raise ValueError(
                f"ensemble = {self.ensemble} is too long for the name of its folder of checkpoints; choose another one"
            )
        for name, path in self.names().items():
            place = str(path).casefold()  # there are file systems to which upper and lower case are equal
            if place in names:
                raise ValueError(f"{names[place]} and {name} are both {path}; give each file a name of its own")
            for folder, kind in self.folders.items():
                if Path(place).is_relative_to(str(folder).casefold()) and (name, kind) != ("ensemble", ENSEMBLE):
                    raise ValueError(f"{name} is {path}, in the folder of {kind}; choose another name")
            if place.endswith(PARTIAL):
                raise ValueError(
                    f"{name} is {path}; {PARTIAL} is the ending of files that are not finished; choose another name"
                )
            if not path.is_relative_to(normal_path(self.directory, ".")):
                raise ValueError(f"{name} is {path}, outside of the directory {self.directory}; give a name below it")
            names[place] = name
        return self

    def files(self) -> dict[str, Path]:
        """Return the files of the run by their keys."""
        names = {"ensemble": self.ensemble, "report": self.report, "figure": self.figure, "page": self.page}
        return {key: normal_path(self.directory, name) for key, name in names.items() if name}

    @property
    def log_file(self) -> Path | None:
        """The file to which the lines of a run are appended."""
        return normal_path(self.directory, self.log) if self.log else None

    def names(self) -> dict[str, Path]:
        """Return all files that a run writes by their keys, the log among them, which no other run replaces."""
        return self.files() | ({"log": self.log_file} if self.log_file else {})

    def spare(self, key: str, path: Path) -> None:
        """Raise ConfigError where a file of the run would replace this one, which the run reads; `key` says what it is."""
        for name, target in self.names().items():
            if same_place(target, path):
                raise ConfigError(f"output.{name} = {target} is {key}, which the run reads; choose another name")

    @property
    def folders(self) -> dict[Path, str]:
        """The folders in which a run writes, beside its directory, and what they are of."""
        folders = {self.checkpoint: "checkpoints, which is removed", self.parts: "the ensemble's parts"}
        return folders | ({normal_path(self.directory, self.ensemble): ENSEMBLE} if self.ensemble.endswith(ENDING) else {})

    @property
    def checkpoint(self) -> Path:
        """The folder of checkpoints."""
        return normal_path(self.directory, folder_name(self.ensemble))

    @property
    def parts(self) -> Path:
        """The folder of parts."""
        return parts_folder(normal_path(self.directory, self.ensemble))
