# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The settings of an evaluation: the block `evaluator` of `yamls/eval.yaml`, and the callback's in training recipes."""

from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, Mapping, Optional, Sequence

from molmo_foundry.eval.metrics import find_judge, judge_of
from molmo_foundry.eval.tasks import Task, custom_task, select_tasks


@dataclass(frozen=True)
class EvalSettings:
    """What to evaluate, on which data, and where results go.

    Attributes:
        tasks: Tasks, `task:split`, or groups; see `eval.tasks`.
        data: Folder of a task's MDS, with {dataset} and {split} in it.
        save_folder: Where results go: a folder a checkpoint, in it one a task.
        remote: Where the MDS is downloaded from to `data` if it is not there, with the same fields.
        batch_size: Prompts generated together, and records read together, by a rank.
        max_examples: Most records of a task, evenly spread over it. Default: all.
        max_new_tokens: Longest response. Default: the task's.
        max_crops: Most tiles of an image. Default: the task's.
        max_seq_len: Longest prompt in tokens. Default: the task's.
        num_workers: Processes of each rank that read and cut images; 0 does it between batches.
        pixels: `exact` (float32, as the reference resizes) or `fast` (uint8).
        report: Whether to write HTML pages of all predictions beside the results.
        progress_bar: Whether to show how far a task is.
        judge: `package.module:function` from a prompt to a reply, for metrics that take a judge; see `eval.metrics`.
        custom_tasks: Further tasks by name, with the keys of `eval.tasks.Task`.
    """

    tasks: Sequence[str]
    data: str
    save_folder: str
    remote: Optional[str] = None
    batch_size: int = 4
    max_examples: Optional[int] = None
    max_new_tokens: Optional[int] = None
    max_crops: Optional[int] = None
    max_seq_len: Optional[int] = None
    num_workers: int = 2
    pixels: str = 'exact'
    report: bool = True
    progress_bar: bool = True
    judge: Optional[str] = None
    custom_tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def parse(cls, block: Mapping[str, Any]) -> 'EvalSettings':
        """Checks the keys and values of a recipe's block.

        Raises:
            ValueError: If one is unknown, missing or wrong; names it.
        """
        known = {f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(cls)}
        for key in block:
            if key not in known:
                raise ValueError(f'evaluator.{key} is not an option; choose from: {", ".join(known)}.')
        missing = [key for key, required in known.items() if required and not block.get(key)]
        if missing:
            raise ValueError(f'evaluator.{missing[0]} is missing.')
        tasks = block['tasks']
        settings = cls(**{**block, 'tasks': [tasks] if isinstance(tasks, str) else list(tasks)})
        for key in ('batch_size', 'max_examples', 'max_new_tokens', 'max_crops', 'max_seq_len'):
            value = getattr(settings, key)
            if not (isinstance(value, int) and value >= 1) and (value is not None or key == 'batch_size'):
                raise ValueError(f'evaluator.{key} must be a whole number of at least 1, not {value!r}.')
        if settings.judge is not None:
            find_judge(settings.judge)
        for task in settings.selected_tasks():
            for metric in task.metrics:
                parameter = judge_of(metric)
                if parameter and parameter.default is parameter.empty and settings.judge is None:
                    raise ValueError(f'evaluator.judge is missing: metric {metric!r} of task {task.label} needs one.')
        settings.folder_of(settings.data, 'data', 'split')
        return settings

    def selected_tasks(self) -> list[Task]:
        """The tasks, with what these settings change of them.

        Raises:
            ValueError: If one does not exist.
        """
        custom = {name: custom_task(name, row) for name, row in self.custom_tasks.items()}
        names = ('max_new_tokens', 'max_crops', 'max_seq_len')
        changed = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return [replace(task, **changed) for task in select_tasks(self.tasks, custom)]

    def folder_of(self, template: str, dataset: str, split: str) -> str:
        """A path with the fields filled in.

        Raises:
            ValueError: If it has other fields.
        """
        try:
            return template.format(dataset=dataset, split=split)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f'evaluator.data and evaluator.remote may have the fields {{dataset}} and {{split}}, not {template!r}.'
            ) from error
