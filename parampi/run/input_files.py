"""The files that a run reads, by the keys that name them: their digests, and the refusal of outputs in their places."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from parampi.networks import files_of
from parampi.run.config import RunConfig, registered
from parampi.run.config.choices import CHOICES, choices_of
from parampi.run.plugins import imported, plugin_files, source
from parampi.run.trust import Code, code_file, code_of
from parampi.run.user_files import HOOK_KEYS, is_file, sha256
from parampi.run.user_sources import imported_sources, recorded_sources


def deciding_files(config: RunConfig) -> dict[str, Path]:
    """Return the files that decide the fields of members, but for those of conditions, which may be large and many."""
    model, condition = config.model, config.condition
    named: dict[str, str | Path | None] = {
        **files_below("model.weights", model.weights),
        "model.network": network_file(model.network) if model.network else None,
        "data.statistics": config.data.statistics,
        **option_files(config),
        **argument_files(model.arguments),
        **hook_files(config),
    }
    if condition is not None:
        named |= {"condition.statistics": condition.statistics, "condition.static": condition.static}
    files = {key: Path(path) for key, path in named.items() if path} | plugin_files(model.plugins, registered(config))
    return {key: path for key, path in files.items() if is_file(path)}


def files_below(key: str, path: str | None) -> dict[str, Path]:
    """Return the file of a key, or the files of the network in its folder, by the key and their names in the folder."""
    inside = files_of(Path(path)) if path else {}
    return {f"{key}: {name}" if name else key: file for name, file in inside.items()}


def network_file(reference: str) -> Path | None:
    """Return the file of the network's class; None where there is none, which is said when the network is built."""
    place = reference.rpartition(":")[0]
    if place in imported:
        return source(imported[place])
    return Path(place) if place.endswith(".py") else code_file(place)


def hook_files(config: RunConfig) -> dict[str, str | Path | None]:
    """Return the files of `prepare` and `finish`, and those that their arguments name."""
    hooks = zip(HOOK_KEYS, (config.model.prepare, config.model.finish), strict=True)
    files: dict[str, str | Path | None] = {}
    for key, hook in hooks:
        if hook is not None:
            files |= {key: network_file(hook.function), **argument_files(hook.arguments or {}, key)}
    return files


def option_files(config: RunConfig) -> dict[str, str]:
    """Return the files that options of schedule, sampler, solver and clock name, such as a solver's statistics."""
    options = {f"{CHOICES[name].section}.{name}": made.model_dump() for name, made in choices_of(config).items()}
    return {
        f"{choice}.{key}": value
        for choice, values in options.items()
        for key, value in values.items()
        if isinstance(value, str) and Path(value).suffix
    }


def argument_files(arguments: Mapping[str, Any], key: str = "model") -> dict[str, str]:
    """Return the files that arguments of the network, or of a hook, name, as absolute paths: `!path` makes them such; of a
    folder those in it that networks are kept in."""
    named = {name: value for name, value in arguments.items() if isinstance(value, str) and value[:1] == "/"}
    inside = [files_below(f"{key}.arguments.{name}", value) for name, value in named.items()]
    return {name: str(path) for files in inside for name, path in files.items()}


def file_digests(config: RunConfig, recorded: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the SHA-256 of the files that decide the fields, by the keys that name them.

    Of the sources that network and plugins import from their folders, those that have been imported in this process, and those
    that are `recorded` elsewhere, as they are now.
    """
    digests = {key: sha256(path) for key, path in deciding_files(config).items()}
    for key, reference in code(config).items():
        for entry, path in recorded_sources(key, reference, recorded or {}).items():
            if path is not None and is_file(path):
                digests[entry] = sha256(path)
    return digests | source_digests(config)


def source_digests(config: RunConfig) -> dict[str, str]:
    """Return the SHA-256 of the sources that network and plugins have imported from their folders in this process."""
    return {
        f"{key}: {name}": digest
        for key, reference in code(config).items()
        for name, digest in imported_sources(reference).items()
    }


def code(config: RunConfig) -> Code:
    return code_of({"model": config.model.model_dump(include={"network", "plugins", "prepare", "finish"})})


def protect_inputs(config: RunConfig, conditions: Sequence[Path]) -> None:
    """Raise ConfigError for an output in the place of an input: it would be replaced."""
    inputs = [*deciding_files(config).items(), *(("condition.files", path) for path in conditions)]
    if config.output.grid:
        inputs.append(("output.grid", Path(config.output.grid)))
    for key, path in inputs:
        config.output.spare(key, path)
