"""From the names in a configuration to a denoiser: the user's network class, its weights, what it predicts, where it runs."""

import inspect
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn

from parampi.diffusion.batched import BatchConditions, BatchedDenoiser
from parampi.diffusion.denoisers import (
    DataDenoiser,
    Denoiser,
    EDMDenoiser,
    EpsilonDenoiser,
    FlowDenoiser,
    PreconditionedDenoiser,
    ScoreDenoiser,
    VelocityDenoiser,
)
from parampi.diffusion.probe import check_denoiser
from parampi.errors import ConfigError, DataError, UserError
from parampi.networks.accelerated import accelerated
from parampi.networks.acceleration import Acceleration
from parampi.networks.loading import load
from parampi.networks.weights import read_state
from parampi.run.condition_source import ConditionSource
from parampi.run.config import RunConfig
from parampi.run.inputs import Inputs, sampling_options
from parampi.run.model_clock import TRAINED, clock_of
from parampi.run.plugins import imported
from parampi.run.user_files import import_file, import_module
from parampi.run.wrapping import wrapped

WRAPPERS: dict[str, Any] = {
    "edm": EDMDenoiser,
    "denoiser": PreconditionedDenoiser,
    "flow": FlowDenoiser,
    "epsilon": EpsilonDenoiser,
    "velocity": VelocityDenoiser,
    "data": DataDenoiser,
    "score": ScoreDenoiser,
}


def find_class(reference: str) -> Any:
    """Return what "path/to/file.py:Name" or "package.module:Name" names."""
    place, _, name = reference.rpartition(":")
    if not place:
        raise ConfigError(f"model.network = {reference!r} must be 'file.py:Class' or 'package.module:Class'")
    module = imported.get(place) or (
        import_file(Path(place), "model.network") if place.endswith(".py") else import_module(place, "model.network")
    )
    if not hasattr(module, name):
        raise ConfigError(f"model.network = {reference!r}: {place} defines no {name!r}")
    return getattr(module, name)


def build_network(reference: str, arguments: dict[str, Any]) -> nn.Module:
    cls = find_class(reference)
    if kind := wrong_kind(cls):
        raise ConfigError(
            f"model.network = {reference!r} is {kind}, and is not called; give a class of torch.nn.Module, or a function that "
            f"says it returns one: def network(...) -> torch.nn.Module"
        )
    try:
        inspect.signature(cls).bind(**arguments)
    except TypeError as error:
        raise ConfigError(
            f"model.arguments = {arguments}: {reference} says {error}; it takes {inspect.signature(cls)}"
        ) from None
    try:
        network = cls(**arguments)
    except Exception as error:
        hint = "; a file beside the configuration is written !path NAME" if isinstance(error, FileNotFoundError) else ""
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"model.arguments = {arguments}: {reference} failed with {reason}{hint}") from error
    if not isinstance(network, nn.Module):
        raise ConfigError(f"model.network = {reference!r} made a {type(network).__name__}; it must be a torch.nn.Module")
    return network.eval().requires_grad_(False)


def wrong_kind(named: Any) -> str:
    """Return what something is that is neither a class of networks nor a function that says it makes one; "" for these."""
    if isinstance(named, type):
        return "" if issubclass(named, nn.Module) else f"the class {named.__name__}, no torch.nn.Module"
    if isinstance(named, nn.Module):
        return "a network that is made already"
    if not inspect.isroutine(named):
        return f"a {type(named).__name__}"
    made: Any = inspect.Signature.empty
    with suppress(Exception):  # an annotation may name anything, and some functions have no signature
        made = inspect.signature(named).return_annotation
        made = get_type_hints(named).get("return", made)
    if (isinstance(made, type) and issubclass(made, nn.Module)) or str(made).rpartition(".")[2] == "Module":
        return ""
    return "a function that does not say what it returns" if made is inspect.Signature.empty else f"a function of {made}"


def load_network(config: RunConfig, device: torch.device) -> nn.Module:
    """Return the network of a configuration, with its weights: its class's, or that in a file or folder of a framework."""
    model = config.model
    if model.network is None:
        assert model.weights is not None
        return load(Path(model.weights), device)
    network = build_network(model.network, model.arguments)
    if model.weights is not None:
        load_weights(network, Path(model.weights), model.key, model.strip_prefix)
    return network


def load_weights(network: nn.Module, path: Path, key: str | None = None, prefix: str = "") -> None:
    """Fill a network from a file of weights; nothing in the file is executed. Raises DataError where it does not fit."""
    state = read_state(path, key, prefix)
    problems = mismatches(network.state_dict(), state)
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise DataError(
            f"model.weights: {path} does not fit {type(network).__name__}: {'; '.join(problems[:3])}{more} "
            f"(check model.network, model.arguments and model.weights)"
        )
    network.load_state_dict(state)


def mismatches(expected: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> list[str]:
    """Return what is wrong with the tensors of a weights file."""
    missing = [f"{name} is missing" for name in expected if name not in state]
    foreign = [f"{name} is unknown to the network" for name in state if name not in expected]
    shapes = [
        f"{name} is {tuple(state[name].shape)}, the network's is {tuple(expected[name].shape)}"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    return shapes + missing + foreign


def choose_device(name: str, local_rank: int) -> torch.device:
    """Return the device of a name that torch understands; "auto" is the GPU of this rank's number on its node, else the CPU."""
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", local_rank % torch.cuda.device_count())
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"parallel.device = {name!r} cannot be used here ({reason}); try 'auto' or 'cpu'") from None
    return device


def build_denoiser(network: nn.Module, config: RunConfig, sigmas: Tensor, device: torch.device) -> Denoiser:
    """Return the denoiser that a configuration makes of its network."""
    model, options = config.model, dict[str, Any]()
    if model.predicts in TRAINED:
        options["scaled_input"] = model.scaled_input
    if model.predicts == "flow" and model.clock:
        options["data_at"] = getattr(model.clock, "data_at", 0)
    clock = clock_of(config, sigmas)
    denoiser: Denoiser = WRAPPERS[model.predicts](network, sigma_data=model.sigma_data, time=clock, **options).to(device)
    return wrapped(denoiser, model)


def load_denoiser(inputs: Inputs, local_rank: int) -> Denoiser:
    """Return the denoiser on this rank's device."""
    config, device = inputs.config, choose_device(inputs.config.parallel.device, local_rank)
    network = load_network(config, device).to(device)
    try:
        network = accelerated(network, **vars(acceleration_of(config)), bitwise=config.parallel.mode == "bitwise")
    except ConfigError as error:
        raise ConfigError(f"model.{error}") from None
    return build_denoiser(network, config, inputs.sigmas, device)


def acceleration_of(config: RunConfig) -> Acceleration:
    """Return how a configuration has its network run."""
    return Acceleration(*(getattr(config.model, field.name) for field in fields(Acceleration)))


def probe_denoiser(
    inputs: Inputs, denoiser: Denoiser, source: ConditionSource | None, case: tuple[Tensor, ...] | None = None
) -> int:
    """Return how many evaluations the probe of a denoiser took; `case` is what was made of the first member's condition. Raises
    ConfigError, also where `finish` does not return a field. Where it is switched off, the denoiser is
    called once all the same, with which it imports what it needs, and nothing but the shape is judged."""
    model, options = inputs.config.model, sampling_options(inputs, denoiser)
    case = case or (None if source is None else (source(inputs.members[:1]),))
    inputs.hooks.finished(torch.zeros(options["shape"], dtype=options["dtype"]), case)
    try:
        return (check_denoiser if model.probe else call_once)(
            denoiser,
            options["shape"],
            inputs.equations.sigmas[:-1][inputs.equations.evaluated],
            sigma_data=model.sigma_data,
            dtype=options["dtype"],
            network_batch=options["network_batch"],
            mode=options["mode"],
            condition=None if case is None else case[0][0],
            example=None if source or inputs.hooks.finish else example_of(inputs),
        )
    except ConfigError as error:
        keys = f"check model.network, model.arguments, model.weights, model.shape and model.predicts = {model.predicts}"
        raise ConfigError(f"{error}; {keys}") from error


def call_once(denoiser: Denoiser, shape: Sequence[int], sigmas: Tensor, *, dtype: torch.dtype, **options: Any) -> int:
    """Call a denoiser for one field; return that this was one evaluation. Raises ConfigError where it cannot take the field."""
    network, condition = BatchedDenoiser(denoiser), options["condition"]
    x = torch.zeros((1, *shape), dtype=dtype, device=network.device)
    column = torch.zeros(1, dtype=torch.int64, device=network.device)
    conditions = None if condition is None else BatchConditions(condition[None].to(network.device), column)
    try:
        network(x, sigmas[:1].to(x), conditions)
    except UserError:
        raise
    except Exception as error:
        raise ConfigError(f"the denoiser fails with {type(error).__name__}: {' '.join(str(error).split())}") from error
    return 1


def example_of(inputs: Inputs) -> Tensor | None:
    """Return a field of the data, normalised; None where the statistics hold none."""
    fields = inputs.statistics.reference[:1]
    if len(fields) == 0:
        return None
    return torch.from_numpy(inputs.statistics.normalise(fields))[0].reshape(inputs.config.model.shape)
