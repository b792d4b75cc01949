# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What lmms-eval's guide for new models says that a chat model meets, as far as our adapter goes.

Stands in for lmms-eval where it is not installed: it pins a version of wandb that Composer does not take.
"""

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Optional


class lmms(ABC):  # its name there
    """Base of all models: `rank`, `task_dict`, construction from a string, three kinds of requests."""

    is_simple = True

    def __init__(self) -> None:
        self._rank, self._world_size = 0, 1
        self.task_dict: dict[str, Any] = {}

    @property
    def rank(self) -> int:
        return self._rank

    @abstractmethod
    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]: ...

    @abstractmethod
    def generate_until(self, requests: list[Any]) -> list[str]: ...

    @abstractmethod
    def generate_until_multi_round(self, requests: list[Any]) -> list[str]: ...

    @classmethod
    def create_from_arg_string(cls, arguments: str, additional: Optional[dict[str, Any]] = None) -> 'lmms':
        given: dict[str, Any] = dict(pair.split('=', 1) for pair in arguments.split(','))
        return cls(**given, **{key: value for key, value in (additional or {}).items() if value is not None})


@dataclass(frozen=True)
class ModelManifest:
    """What an entry point of the group `lmms_eval.models` returns."""

    model_id: str
    simple_class_path: Optional[str] = None
    chat_class_path: Optional[str] = None
    aliases: tuple[str, ...] = ()


@dataclass
class ChatMessages:
    """Messages of a task: roles, with parts of text and of images, whose `url` is a Pillow image."""

    messages: list[dict[str, Any]]

    def to_hf_messages(self) -> list[dict[str, Any]]:
        return [
            {'role': message['role'], 'content': [self._part(part) for part in message['content']]}
            for message in self.messages
        ]

    @staticmethod
    def _part(part: dict[str, Any]) -> dict[str, Any]:
        return {'type': 'image', 'image': part['url']} if part['type'] == 'image' else part


def install() -> None:
    """Makes `import lmms_eval` find these."""
    contents = {
        'lmms_eval': {},
        'lmms_eval.api': {},
        'lmms_eval.models': {},
        'lmms_eval.api.model': {'lmms': lmms},
        'lmms_eval.models.registry_v2': {'ModelManifest': ModelManifest},
        'lmms_eval.protocol': {'ChatMessages': ChatMessages},
    }
    for name, members in contents.items():
        module = ModuleType(name)
        vars(module).update(members)
        sys.modules[name] = module
