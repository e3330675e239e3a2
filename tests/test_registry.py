"""Registries: one shape for samplers, solvers, schedules, bases and stores; names that stand for others build the same."""

import inspect

import pytest

from parampi import basis, fields, samplers, solvers
from parampi.basis import BASES
from parampi.diffusion import schedules
from parampi.diffusion.schedules import SCHEDULES
from parampi.errors import ConfigError
from parampi.fields import STORES
from parampi.registry import Registry
from parampi.samplers import DDIM, DDPM, SAMPLERS, DPMppSDE, EulerAncestral
from parampi.solvers import SOLVERS, ParaSolver, Picard

ALIASES = {
    "ddpm": (DDPM, DDIM(eta=1.0)),
    "euler_ancestral": (EulerAncestral, DDIM(eta=1.0)),
    "dpmpp_sde": (DPMppSDE, DDIM(eta=1.0)),
    "parasolver": (ParaSolver, Picard(linear_model="identity", guess="frozen")),
}


@pytest.mark.parametrize("registry", [SAMPLERS, SOLVERS, SCHEDULES, BASES, STORES], ids=lambda registry: registry.kind)
def test_every_kinds_module_has_its_register_and_lookup(registry):
    modules = {"sampler": samplers, "solver": solvers, "schedule": schedules, "basis": basis, "store": fields}
    module = modules[registry.kind]
    assert module.register == registry.register and module.lookup == registry.lookup


@pytest.mark.parametrize("registry", [SAMPLERS, SOLVERS, SCHEDULES, BASES, STORES], ids=lambda registry: registry.kind)
def test_every_entry_is_looked_up_by_name_and_an_unknown_name_gets_the_nearest(registry):
    for name, entry in registry.items():
        assert registry.lookup(name) is entry
    near = next(iter(registry))
    unknown = f"there is no {registry.kind}"
    choices = f"choose one of {', '.join(sorted(registry))}; a {registry.kind} of your own is known once its module is "
    choices += (
        r"imported: by model\.plugins: \[my_module\.py\], by an entry point of the group parampi\.plugins, or by your script$"
    )
    with pytest.raises(ConfigError, match=rf"{unknown} '{near}x'; did you mean '{near}'\? {choices}"):
        registry.lookup(near + "x")
    with pytest.raises(ConfigError, match=rf"{unknown} '%'; {choices}"):
        registry.lookup("%")


@pytest.mark.parametrize("name", ALIASES)
def test_an_alias_builds_its_target(name):
    build, target = ALIASES[name]
    assert build() == target and type(build()) is type(target)
    assert (SAMPLERS | SOLVERS)[name] is build


def test_every_alias_is_tested():
    assert set(ALIASES) == SAMPLERS.aliases | SOLVERS.aliases | SCHEDULES.aliases | BASES.aliases
    assert not SAMPLERS.distinct().keys() & SAMPLERS.aliases and {"ddim", "heun"} <= SAMPLERS.distinct().keys()


def test_options_of_an_alias_stay_settable_and_are_read_from_its_signature():
    assert DDPM(0.5) == DDPM(eta=0.5) == DDIM(0.5)
    assert ParaSolver(linear_model="gaussian") == Picard(linear_model="gaussian", guess="frozen")
    options = inspect.signature(ParaSolver).parameters
    assert [(name, option.default) for name, option in options.items()] == [
        ("advance", "window"), ("linear_model", "identity"), ("guess", "frozen"),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="eta = 2 is not between 0"):
        DDPM(2)


def test_a_name_that_is_registered_anew_is_an_alias_no_longer():
    registry = Registry("kind", first=DDIM)
    registry.alias("second", DDIM, eta=0.5)
    assert list(registry.distinct()) == ["first"]
    assert registry.register("second")(Picard) is Picard
    assert list(registry.distinct()) == ["first", "second"]
    with pytest.raises(TypeError, match="DDIM has no option etta"):
        registry.alias("third", DDIM, etta=0.5)
