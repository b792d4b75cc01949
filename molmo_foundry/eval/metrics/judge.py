# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The interface to a language model that judges where rules cannot.

No metric calls a judge unless one is handed to it, and this package brings none: anything that maps a prompt to a reply
will do, a local model as well as a service. A judge ought to be deterministic (temperature 0), or scores will not be.
"""

from importlib import import_module
from typing import Protocol


class Judge(Protocol):
    """A language model as the metrics see it."""

    def __call__(self, prompt: str) -> str:
        """Returns the model's reply to `prompt`."""
        ...


def find_judge(name: str) -> Judge:
    """Imports a judge.

    Args:
        name (str): `package.module:function`.

    Raises:
        ValueError: If there is no such function.
    """
    module, _, function = name.partition(':')
    try:
        judge: Judge = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f'The judge {name!r} cannot be imported as package.module:function: {error}') from error
    if not callable(judge):
        raise ValueError(f'The judge {name!r} is no function from a prompt to a reply.')
    return judge
