# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Resuming a run whose recipe now trains parameters that were frozen: they start with fresh moments.

A checkpoint has no optimizer state for what was frozen when it was written, and torch refuses to load one with gaps.
`allow_thawing` fills them, for a checkpoint in one piece and for a sharded one, and says so. State of what is frozen
now is left out by torch itself.
"""

import re
from functools import partial
from typing import Any, Callable, Collection, Mapping, Optional

import torch
from composer.core import State
from composer.utils import dist
from composer.utils.parallelism import FSDP2Config
from torch.distributed.checkpoint import DefaultLoadPlanner, Metadata

from molmo_foundry.train.components import component_of

_OPTIMIZER_SLOT = re.compile(r'state\.optimizers\.\w+\.state\.(.+)\.\w+')
_OPTIMIZER_GROUP = re.compile(r'state\.optimizers\.\w+\.param_groups\.')
"""Keys of a sharded checkpoint: of one slot of a parameter, and of what is in a parameter group."""


def allow_thawing(state: State) -> None:
    """Makes a checkpoint that is loaded later fit the parameters that are trained now.

    Args:
        state (State): Of the run, before it loads.
    """
    state.load_optim_state = partial(_load_with_gaps, state, state.load_optim_state)
    if isinstance(state.fsdp_config, FSDP2Config):
        own = state.fsdp_config
        config = _ThawingConfig(**{name: getattr(own, name) for name in own.settable_attrs()})
        config.sync_module_states = own.sync_module_states
        state.fsdp_config = config


def _load_with_gaps(state: State, load: Callable[..., None], state_dict: dict[str, Any], strict: bool = True) -> None:
    """Loads optimizers from a checkpoint in one piece; those of other kinds than the run's are left to Composer."""
    parameters = {name.removeprefix('module.'): p for name, p in state.model.named_parameters() if p.requires_grad}
    for content in (state_dict['optimizers'] or {}).values():
        _fill(content['state'], parameters)
    load(state_dict, strict)


def _fill(saved: dict[str, dict[str, Any]], parameters: Mapping[str, torch.Tensor]) -> None:
    """Adds zeros to the saved slots, by parameter, for each parameter that has none; they are full tensors."""
    missing = [name for name in parameters if name not in saved]
    if not saved or not missing:
        return
    slots = next(iter(saved.values()))
    for name in missing:
        shape = parameters[name].shape
        saved[name] = {slot: value.new_zeros(shape if value.dim() else ()) for slot, value in slots.items()}
    _report(missing)


class _ThawingPlanner(DefaultLoadPlanner):
    """Loads a sharded checkpoint but for the optimizer state that it lacks, which stays at zero.

    Parameter groups, which are stored by number, stay the run's own too: the recipe's settings hold (`settings`).
    """

    def set_up_planner(
        self, state_dict: dict[str, Any], metadata: Optional[Metadata] = None, is_coordinator: bool = False
    ) -> None:
        """Takes what is missing out of what is to be loaded."""
        super().set_up_planner(state_dict, metadata, is_coordinator)
        assert metadata is not None
        found = ((key, _OPTIMIZER_SLOT.fullmatch(key)) for key in self.state_dict)
        missing = {key: match[1] for key, match in found if match and key not in metadata.state_dict_metadata}
        for key in missing:
            self.state_dict[key].zero_()  # torch made them by a step of rate zero, which it counted
        self.state_dict = {
            key: value
            for key, value in self.state_dict.items()
            if key not in missing and not _OPTIMIZER_GROUP.match(key)
        }
        _report(set(missing.values()))


class _ThawingConfig(FSDP2Config):
    """Composer's configuration with that planner, which it asks for but does not let one set."""

    @property
    def load_planner(self) -> Any:
        """A planner for one load."""
        return _ThawingPlanner()

    def __post_init__(self) -> None:
        pass


def _report(names: Collection[str]) -> None:
    components = sorted({component_of(name) for name in names})
    if components and not dist.get_global_rank():
        print(
            f'The checkpoint has no optimizer state for {len(names)} parameters of {", ".join(components)}, which '
            'were frozen when it was saved: they start with fresh moments.',
            flush=True,
        )
