"""Frameworks of others, imported where they are installed; tests that need one skip with the reason."""

import importlib.util
import warnings

import pytest
import torch


def framework(name):
    """The module; skips where it is not installed."""
    if importlib.util.find_spec("torchvision"):
        import_torchvision()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"{name} is not installed ({error})", allow_module_level=True)


def import_torchvision():
    """Import torchvision, as dependencies of physicsnemo and diffusers do, also where PyPI's build for CUDA stands beside a
    torch without: its compiled operators are missing then, and what it says of them is left out."""
    register = torch.library.register_fake

    def known(operator, *arguments, **options):
        if isinstance(operator, str) and operator.startswith("torchvision::"):
            return lambda function: function
        return register(operator, *arguments, **options)

    torch.library.register_fake = known
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("torchvision")
    finally:
        torch.library.register_fake = register
