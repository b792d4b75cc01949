# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Weights that a run starts from, whatever wrote them: `model: {pretrained: PATH}`.

The architecture is the recipe's, since the dataloader follows it too; what a checkpoint holds must fit it. Optimizer
state, schedules and positions in data are not read: that is a new stage. A checkpoint of the run itself, found by
`autoresume`, comes later and goes before this. How files are read, and why none of them can run code, is the matter of
`convert.checkpoint`.
"""

from pathlib import Path
from typing import Union

from molmo_foundry.convert.checkpoint import open_checkpoint
from molmo_foundry.model.modeling import MolmoForCausalLM


def load_pretrained(model: MolmoForCausalLM, source: Union[str, Path]) -> None:
    """Loads the weights of a checkpoint into a model; on the meta device, it moves to the CPU.

    Args:
        model (MolmoForCausalLM): Neither wrapped nor adapted yet; its own type of numbers is kept.
        source (str | Path): Whatever `open_checkpoint` takes: a path, an address in an object store, or a hub id, of

            - a checkpoint of Composer, sharded (a directory such as ``latest-sharded-rank0``, written by any number of
              ranks) or whole (a file such as ``latest-rank0.pt``), or a run's folder of them; LoRA in it is merged;
            - a directory of Hugging Face's layout, ours or a released Molmo's;
            - a directory of allenai/molmo's, with ``model.pt``.

    Raises:
        FileNotFoundError: If nothing is there, or no such checkpoint.
        ValueError: If the weights are not this architecture's, or could run code; names file and tensors.
    """
    try:
        with open_checkpoint(source, config=model.config, merge_adapters=True) as checkpoint:
            checkpoint.load_into(model)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f'model.pretrained={source}: {error}') from error
