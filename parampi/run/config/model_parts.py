"""Parts of the section `model`: hooks, patches, what cuts fields off, and how a network is compiled."""

from typing import Annotated, Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticKnownError

from parampi.networks.acceleration import CompileMode
from parampi.run.config.path_names import PathName

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, ser_json_inf_nan="constants")
"""Of all sections: unknown keys and wrong types are refused."""
SCALE = TypeAdapter(Annotated[float, Field(gt=0, allow_inf_nan=False)])
"""A standard deviation of the data."""


def scales(value: Any) -> Any:
    """Return a standard deviation of the data, or a list of one for each channel."""
    if value == []:
        raise ValueError("give a number, or a list of one for each channel")
    try:
        numbers = [SCALE.validate_python(one, strict=True) for one in (value if isinstance(value, list) else [value])]
    except ValidationError as error:
        first = error.errors()[0]
        raise PydanticKnownError(first["type"], first.get("ctx")) from None  # type: ignore[arg-type]
    return numbers if isinstance(value, list) else numbers[0]


def compile_mode(value: Any) -> bool | CompileMode:
    """Return whether and how torch.compile makes a network."""
    modes = get_args(CompileMode)
    if not (isinstance(value, bool) or value in modes):
        raise ValueError(f"give true, false or a mode of torch.compile, {', '.join(modes)}")
    return cast(bool | CompileMode, value)


class Hook(BaseModel):
    """A function of a user's, or with `arguments` the class or function that makes it of them."""

    model_config = STRICT

    function: PathName
    arguments: dict[str, Any] | None = None


def as_hook(value: Any) -> Any:
    """Return the section that a reference alone stands for."""
    return {"function": value} if isinstance(value, str) else value


class Threshold(BaseModel):
    """Dynamic thresholding: fields are cut off at a quantile of their sizes, `largest` at most, and divided by it."""

    model_config = STRICT

    quantile: float = Field(0.995, gt=0, le=1)
    largest: float = Field(1.0, ge=1, allow_inf_nan=False)


class Patches(BaseModel):
    """Patches of fields that the network sees in the place of whole ones, averaged where they overlap. `positions`: whether it
    is given the indices of their points, as two channels after those of the condition; `batch`: most patches in one call;
    `overview`: how many channels of the condition, the last ones, each patch is given of the whole field too; `local`: whether
    it is given its own part of the condition."""

    model_config = STRICT

    shape: list[Annotated[int, Field(ge=1)]] = Field(min_length=2, max_length=2)
    overlap: int = Field(0, ge=0)
    boundary: int = Field(0, ge=0)
    positions: Literal["index"] | None = None
    batch: int | None = Field(None, ge=1)
    overview: int = Field(0, ge=0)
    local: bool = True
