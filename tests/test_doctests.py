"""The examples in the docstrings run and print what they say."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest
import scalinglaws

MODULES = ["scalinglaws"] + [
    found.name
    for found in pkgutil.walk_packages(scalinglaws.__path__, "scalinglaws.")
    if not found.name.endswith("_core")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_each_module_run(name):
    outcome = doctest.testmod(import_module(name))
    assert outcome.failed == 0
