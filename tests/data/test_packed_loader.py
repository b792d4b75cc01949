# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Plans from a recipe's `dataset` block: what Composer gets, and what it may count."""

import json
from pathlib import Path
from typing import Any, Iterator

import pytest
import yaml
from planned_data import leave_no_traces
from streaming import MDSWriter

from molmo_foundry.data.dataloader import build_molmo_dataloader
from molmo_foundry.data.packing.dataset import PlannedDataset
from molmo_foundry.data.packing.stats import batch_metrics, batch_sums
from molmo_foundry.data.schema import COLUMNS, RecordError, to_sample
from molmo_foundry.data.synthetic import make_examples
from molmo_foundry.processing.tokenizer import MolmoTokenizer

BATCH = 4


@pytest.fixture(autouse=True)
def without_traces(tmp_path: Path) -> Iterator[None]:
    yield from leave_no_traces(tmp_path / 'tmp')


@pytest.fixture(scope='module')
def tokenizer() -> MolmoTokenizer:
    return MolmoTokenizer('tiny', vocab_size=1024)


def build(tokenizer: MolmoTokenizer, drop_last: bool = True, workers: int = 0, **changed: Any) -> Any:
    block = {'llm': 'tiny', 'vit': 'tiny', 'max_seq_len': 512, 'shuffle': True, 'seed': 1, **changed}
    return build_molmo_dataloader(
        tokenizer, BATCH, block, drop_last, workers, persistent_workers=False, pin_memory=False
    )


def test_packed_batches_split_and_count(tokenizer: MolmoTokenizer, shapes: Path) -> None:
    streams = {'own': {'local': str(shapes), 'split': 'train'}}
    spec = build(tokenizer, streams=streams, packing=True, max_crops_per_pack=20)
    batches = list(spec.dataloader)
    assert 0 < len(batches) <= len(spec.dataloader) <= len(batches) + 2
    examples = 0
    for batch in batches:
        assert spec.get_num_samples_in_batch(batch) == BATCH
        assert batch['input_ids'].shape[0] == BATCH and batch['input_ids'].shape[1] <= 512
        assert len(batch['images']) == max(1, sum(row['stats']['crops'] for row in batch['metadata']))
        parts = spec.split_batch(batch, 1)
        assert [part['metadata'][0] for part in parts] == batch['metadata']
        assert sum(spec.get_num_tokens_in_batch(part, token_type='total') for part in parts) == sum(
            row['stats']['tokens'] for row in batch['metadata']
        )
        examples += sum(row['stats']['examples'] for row in batch['metadata'])
    assert examples == 40


def test_metrics_of_a_batch(tokenizer: MolmoTokenizer, shapes: Path, texts: Path) -> None:
    streams = {'images': {'local': str(shapes), 'split': 'train'}, 'texts': {'local': str(texts), 'repeat': 2}}
    batch = next(iter(build(tokenizer, streams=streams, packing=True, max_crops_per_pack=20).dataloader))
    rows = batch['metadata']
    of_ranks = [batch_sums(rows[:1], list(streams)), batch_sums(rows[1:], list(streams))]
    sums = [sum(own) for own in zip(*of_ranks)]
    assert sums == batch_sums(rows, list(streams))
    metrics = batch_metrics(sums, rows[0], max_seq_len=512, max_crops=20)
    real = (batch['input_ids'] >= 0).sum().item()
    assert metrics['packing/token_utilization'] == real / (BATCH * 512)
    assert metrics['packing/token_utilization'] <= metrics['packing/planned_token_utilization'] <= 1
    assert metrics['packing/crop_utilization'] == len(batch['images']) / (BATCH * 20)
    assert metrics['packing/crops_per_pack'] == len(batch['images']) / BATCH
    assert metrics['packing/loss_tokens_per_pack'] == (batch['loss_weights'] > 0).sum().item() / BATCH
    names = [name for row in rows for name in row['streams']]
    assert BATCH * metrics['packing/examples_per_pack'] == len(names) == sum(len(row['ids']) for row in rows)
    for name in streams:
        assert metrics[f'streams/{name}/examples'] == names.count(name) > 0
    # the texts are gone through twice as often as the images, within the same epoch
    assert metrics['streams/texts/epochs'] == 2 * metrics['streams/images/epochs'] > 0
    assert metrics['packing/crop_imbalance'] == 1 and metrics['packing/placeholders'] == 0
    assert all(isinstance(value, float) for value in metrics.values())
    assert 'packing/crop_utilization' not in batch_metrics(sums, rows[0], max_seq_len=512)


def test_groups_from_a_file(tokenizer: MolmoTokenizer, shapes: Path, texts: Path, tmp_path: Path) -> None:
    groups = {
        'see': {'rate': 0.8, 'streams': {'captions': {'folder': shapes.name, 'split': 'train'}}},
        'read': {'rate': 0.2, 'streams': {'texts': {'local': str(texts)}}},
    }
    (tmp_path / 'mixture.yaml').write_text(yaml.safe_dump({'groups': groups}))
    spec = build(tokenizer, mixture=str(tmp_path / 'mixture.yaml'), local=str(shapes.parent), epoch_size=50)
    with pytest.raises(TypeError):
        len(spec.dataloader)
    names = [name for batch in spec.dataloader for row in batch['metadata'] for name in row['ids'] if name]
    assert len(names) == 50 and sum(name.startswith('text') for name in names) == 10


def test_flat_rates_ask_for_a_plan(tokenizer: MolmoTokenizer, shapes: Path, texts: Path) -> None:
    streams = {'a': {'local': str(shapes), 'split': 'train', 'rate': 1}, 'b': {'local': str(texts), 'rate': 1}}
    spec = build(tokenizer, streams=streams, epoch_size=24)
    rows = [row for batch in spec.dataloader for row in batch['metadata']]
    assert len(rows) == 24 and all(row['stats']['examples'] == 1 for row in rows), 'rows are packed only if asked for'
    assert sum('b' in row['stats']['streams'] for row in rows) == 12


def test_state_survives_a_checkpoint(tokenizer: MolmoTokenizer, shapes: Path) -> None:
    streams = {'own': {'local': str(shapes), 'split': 'train', 'styles': ['pointing']}}
    first = build(tokenizer, streams=streams, packing=True).dataloader.dataset
    assert isinstance(first, PlannedDataset)
    state = json.loads(json.dumps(first.state_dict(2 * BATCH, True)))
    second = build(tokenizer, streams=streams, packing=True).dataloader.dataset
    second.load_state_dict(state)
    assert second.state_dict(2 * BATCH, True) == state


@pytest.mark.parametrize('workers', [0, 2])
def test_too_many_bad_samples_are_a_plain_error(
    tokenizer: MolmoTokenizer, shapes: Path, tmp_path: Path, workers: int
) -> None:
    with MDSWriter(out=str(tmp_path / 'mds'), columns=COLUMNS) as writer:
        for example in make_examples('train', 6):
            example.images = [example.images[0][:200]]
            writer.write(to_sample(example, [(128, 128)]))
    spec = build(
        tokenizer, workers=workers, streams={'a': {'local': str(tmp_path / 'mds')}}, packing=True, max_bad_fraction=0.0
    )
    with pytest.raises(RecordError, match='1 of 1 samples .* dataset.max_bad_fraction=0.0'):
        list(spec.dataloader)


@pytest.mark.parametrize(
    'changed, message',
    [
        ({'packing': True, 'lookahead': 3}, 'dataset.lookahead is not an option; choose from:.*look_ahead'),
        ({'packing': True, 'epoch_size': '10k'}, "dataset.epoch_size must be a whole number above 0, not '10k'"),
        ({'packing': True, 'epoch_size': 5}, 'dataset.epoch_size is for mixtures with rates'),
        ({'packing': True, 'max_crops_per_pack': 1}, 'max_crops_per_pack=1; raise it'),
        ({'packing': True, 'max_seq_len': 20}, 'nothing to train on: every record exceeds max_seq_len=20'),
        ({'packing': True, 'shuffle': False, 'drop_last': False}, 'dataset.packing.*no effect in evaluation'),
    ],
    ids=str,
)
def test_wrong_keys_are_named(tokenizer: MolmoTokenizer, shapes: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(build(tokenizer, **{'streams': {'a': {'local': str(shapes), 'split': 'train'}}, **changed}).dataloader)
