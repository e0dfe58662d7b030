"""Fixtures of the core's tests."""

import importlib.util
import sys
from pathlib import Path

import pytest


def _load(path):
    """Import a helper that stands beside the tests, which are no package."""
    spec = importlib.util.spec_from_file_location(f"core_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_scripted = _load(Path(__file__).with_name("scripted.py"))


@pytest.fixture(scope="session")
def scripted():
    """The doubles of `scripted.py`."""
    return _scripted


@pytest.fixture(params=_scripted.WAYS)
def way(request):
    """Each way to run a call: sync and async, whole and streamed."""
    return request.param
