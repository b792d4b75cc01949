# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What the model writes about a few held-out pictures, at each evaluation: an HTML page, and a table in the loggers.

Part of `molmo_monitor`::

    callbacks:
      molmo_monitor:
        samples: {count: 8, folder: runs/my-run/samples, max_new_tokens: 64}

The samples are the same each time, spread evenly over each held-out loader; of each, the first annotation is asked.
"""

import base64
import html
import io
from dataclasses import dataclass, fields, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Mapping, Optional

import numpy as np
from composer.core import State, get_precision_context
from composer.loggers import Logger, WandBLogger
from composer.utils import dist
from PIL import Image

from molmo_foundry.data.dataset import EachOnce, MolmoDataset
from molmo_foundry.eval.generation import generate
from molmo_foundry.eval.records import dummy_inputs
from molmo_foundry.processing.image_io import load_image
from molmo_foundry.processing.preprocessor import ExampleTooLongError
from molmo_foundry.processing.types import Example, ModelInputs

COLUMNS = ('step', 'id', 'prompt', 'prediction', 'reference')
LONG_SIDE = 320
"""Pixels of the longer side of a picture."""

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2em; color-scheme: light dark }}
td, th {{ border-top: 1px solid #8888; padding: .6em; text-align: left; vertical-align: top; white-space: pre-wrap }}
</style></head><body><h1>{title}</h1>
<table><tr><th>picture<th>id<th>prompt<th>prediction<th>reference</tr>
{rows}
</table></body></html>
"""


@dataclass(frozen=True)
class SampleSettings:
    """How many samples, and where to.

    Attributes:
        folder: Where ``<label>-step<N>.html`` is written.
        count: Samples of each held-out loader; they are generated at once, divided among the ranks.
        max_new_tokens: Longest prediction.
    """

    folder: str
    count: int = 8
    max_new_tokens: int = 64

    @classmethod
    def parse(cls, block: Mapping[str, Any]) -> 'SampleSettings':
        """Reads a recipe's block.

        Raises:
            ValueError: If a key is unknown or missing, or a number below 1; names it.
        """
        known = [field.name for field in fields(cls)]
        for key in block:
            if key not in known:
                raise ValueError(f'molmo_monitor.samples.{key} is unknown; keys: {", ".join(known)}.')
        if 'folder' not in block:
            raise ValueError('molmo_monitor.samples.folder is missing: say where pages of predictions go.')
        settings = cls(**block)
        for key in ('count', 'max_new_tokens'):
            if getattr(settings, key) < 1:
                raise ValueError(f'molmo_monitor.samples.{key}={getattr(settings, key)} must be at least 1.')
        return settings


@dataclass
class Sample:
    """One question about a held-out record.

    Attributes:
        id: Of the record.
        prompt: What the model reads after the picture.
        reference: What the record says.
        inputs: The prompt as the model reads it.
        picture: Its first image, small, as JPEG; None if it has none.
        prediction: What the model wrote.
    """

    id: str
    prompt: str
    reference: str
    inputs: Optional[ModelInputs]
    picture: Optional[bytes]
    prediction: str = ''


class SamplePredictions:
    """Generates, writes and logs samples of the held-out loader that has just been evaluated.

    Args:
        settings (SampleSettings): How many, and where to.
    """

    def __init__(self, settings: SampleSettings):
        self.settings = settings

    def log(self, state: State, logger: Logger) -> None:
        """Does so; every rank calls it while the model is in evaluation mode. Other loaders than ours are left out."""
        view = getattr(state.dataloader, 'dataset', None)
        if not isinstance(view, EachOnce):
            return
        own = read_samples(view.dataset, self.settings.count)
        self._predict(own, view.dataset, state)
        by_rank = dist.all_gather_object(own)
        gathered = [sample for in_turn in zip_longest(*by_rank) for sample in in_turn if sample is not None]
        if dist.get_global_rank():
            return
        label, step = str(state.dataloader_label), state.timestamp.batch.value
        path = Path(self.settings.folder) / f'{label.removeprefix("eval/").replace("/", "-")}-step{step}.html'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(f'{label}, step {step}', gathered), encoding='utf-8')
        to_loggers(gathered, logger, f'samples/{label.removeprefix("eval/")}', step)

    def _predict(self, samples: list[Sample], dataset: MolmoDataset, state: State) -> None:
        model: Any = state.model.module if state.is_model_ddp else state.model
        with get_precision_context(state.precision, state.precision_config):
            responses = generate(
                model,
                [sample.inputs for sample in samples if sample.inputs is not None],
                dummy_inputs(dataset.preprocessor),
                max_new_tokens=self.settings.max_new_tokens,
                device=state.device,
            )
        for sample, response in zip(samples, responses):
            sample.prediction, sample.inputs = response.text, None


def read_samples(dataset: MolmoDataset, count: int) -> list[Sample]:
    """This rank's share of the samples of a data set; those whose prompt is too long are left out.

    Args:
        dataset (MolmoDataset): The data set.
        count (int): Samples of all ranks.
    """
    count = min(count, dataset.num_samples)
    samples = []
    for number in range(dist.get_global_rank(), count, dist.get_world_size()):
        example = dataset.read(number * dataset.num_samples // count)
        asked = replace(example, annotations=example.annotations[:1])
        try:
            inputs = dataset.preprocessor(asked, inference=True)
        except ExampleTooLongError:
            continue
        picture = _thumbnail(example.images[0]) if example.images else None
        prompt, reference = _texts(asked, dataset, inputs)
        samples.append(Sample(example.id, prompt, reference, inputs, picture))
    return samples


def _texts(asked: Example, dataset: MolmoDataset, inputs: ModelInputs) -> tuple[str, str]:
    """What the model reads, and what the record would have it write."""
    formatter, size = dataset.preprocessor.formatter, inputs.metadata.get('image_size')
    ((read,), _), ((whole,), _) = (formatter(asked, inference=x, image_size=size) for x in (True, False))
    return ' '.join(turn.strip() for turn in read.turns), whole.turns[-1].strip()


def page(title: str, samples: list[Sample]) -> str:
    """An HTML page of its own, pictures included."""
    rows = []
    for sample in samples:
        source = base64.b64encode(sample.picture or b'').decode()
        picture = f'<img alt="" src="data:image/jpeg;base64,{source}">' if sample.picture else ''
        texts = (sample.id, sample.prompt, sample.prediction, sample.reference)
        rows.append(f'<tr><td>{picture}' + ''.join(f'<td>{html.escape(text)}' for text in texts) + '</tr>')
    return _PAGE.format(title=html.escape(title), rows='\n'.join(rows))


def to_loggers(samples: list[Sample], logger: Logger, name: str, step: int) -> None:
    """Logs a table: with pictures in W&B; elsewhere its text, and pictures beside it, to whoever takes either."""
    rows = [[step, s.id, s.prompt, s.prediction, s.reference] for s in samples]
    pictures = [_pixels(s.picture) for s in samples]
    for destination in logger.destinations:
        if isinstance(destination, WandBLogger):
            import wandb

            shown = [None if picture is None else wandb.Image(picture) for picture in pictures]
            rows_shown = [[*row, picture] for row, picture in zip(rows, shown)]
            destination.log_table([*COLUMNS, 'picture'], rows_shown, name, step)
            continue
        destination.log_table(list(COLUMNS), rows, name, step)
        squares = [_square(picture) for picture in pictures if picture is not None]
        if squares:
            destination.log_images(squares, name, channels_last=True, step=step)


def _thumbnail(source: Any) -> bytes:
    picture = Image.fromarray(load_image(source))
    picture.thumbnail((LONG_SIDE, LONG_SIDE))
    file = io.BytesIO()
    picture.save(file, 'JPEG')
    return file.getvalue()


def _square(picture: np.ndarray) -> np.ndarray:
    """A picture on a white square, since TensorBoard wants all of a size."""
    square = np.full((LONG_SIDE, LONG_SIDE, 3), 255, np.uint8)
    square[: picture.shape[0], : picture.shape[1]] = picture
    return square


def _pixels(picture: Optional[bytes]) -> Optional[np.ndarray]:
    return None if picture is None else load_image(picture)
