"""Contents of parampi's own files: one schema for each record, read in one place.

A seal tells damage. It does not tell who made a record: types, lengths and keys are checked before anything uses them.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

LONGEST = 80
"""Characters of a value that are shown."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class Stored(BaseModel):
    """A record: keys that are missing or unknown and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())


R = TypeVar("R", bound=Stored)


class Versions(Stored):
    """Versions of what computes fields."""

    model_config = ConfigDict(extra="allow")

    parampi: str
    torch: str


class RunRecord(Stored):
    """The record of a checkpoint's run, in `run.json`.

    run       name of the run, which its ensemble file carries
    config    the configuration
    inputs    digests of the files that decide the fields, by the keys that name them
    versions  of what computed the fields
    files     what was in the places of the outputs when the run began, and what it has written there, by the outputs' keys
    """

    run: str = Field(min_length=8)
    config: dict[str, Any]
    inputs: dict[str, str]
    versions: Versions
    files: dict[str, str]

    @model_validator(mode="after")
    def has_an_output(self) -> Self:
        if not isinstance(self.config.get("output"), dict):
            raise ValueError("config.output is no mapping with the keys of a configuration's section")
        return self


class RoundRecord(Stored):
    """The record of a round, in `done.json`: who is in it, how far each is, and the files' digests. `leads` are the members'
    lead times where those of a roll-out are swept together."""

    members: list[Count] = Field(min_length=1)
    lead: Count
    leads: list[Count] | None = None
    rounds: list[Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    ranks: int = Field(ge=1)
    sha256_of_ranks: list[Digest]

    @model_validator(mode="after")
    def fits_together(self) -> Self:
        if len(self.rounds) != len(self.members) or len(set(self.members)) != len(self.members):
            raise ValueError(f"rounds has {len(self.rounds)} numbers for {len(self.members)} members, which must be different")
        if self.leads is not None and len(self.leads) != len(self.members):
            raise ValueError(f"leads has {len(self.leads)} numbers for {len(self.members)} members")
        if len(self.sha256_of_ranks) != self.ranks:
            raise ValueError(f"sha256_of_ranks has {len(self.sha256_of_ranks)} digests for {self.ranks} ranks")
        return self


class StoredReport(Stored):
    """The report in a finished member's file."""

    member: Count
    rounds: Count
    evaluations: Count
    residual: float
    error: float
    outcome: str
    lead: Count
    bistable: float


class StoredCondition(Stored):
    """The conditions in an ensemble's configuration, as far as they are read before that is checked as a whole."""

    model_config = ConfigDict(extra="allow")

    select: list[Count] | None = None
    lead_times: Annotated[int, Field(ge=1)] | None = None


class StoredConfig(Stored):
    """An ensemble's configuration, as far as it is read before it is checked as a whole."""

    model_config = ConfigDict(extra="allow")

    condition: StoredCondition | None = None


class StoredDigests(Stored):
    """Digests of the files an ensemble was drawn from, by the keys that name them."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str]


def validated(schema: type[R], record: Any) -> R:
    """Return a record as its schema has it. Raise ValueError, in one line, with the first key that is wrong, and its value."""
    try:
        return schema.model_validate(record)
    except ValidationError as error:
        raise ValueError(first_line(error, record)) from None


def first_line(error: ValidationError, record: Any) -> str:
    finding = error.errors()[0]
    key, message = ".".join(map(str, finding["loc"])), str(finding["msg"]).removeprefix("Value error, ")
    if finding["type"] == "missing":
        return f"{key} is missing"
    if finding["type"] == "extra_forbidden":
        return f"{key} is not a known key"
    if not key:
        return message if isinstance(record, Mapping) else f"it is a {type(record).__name__}, no mapping"
    value = repr(finding["input"])
    return f"{key} = {value if len(value) <= LONGEST else value[:LONGEST] + '...'}: {message[0].lower()}{message[1:]}"
