# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The dataloader `molmo`: the order and the prompts do not depend on workers, runs resume exactly, errors are plain."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from composer.core import DataSpec
from llmfoundry.data.dataloader import build_dataloader
from streaming import MDSWriter
from transformers import PreTrainedTokenizerFast

from molmo_foundry.data.dataloader import build_molmo_dataloader
from molmo_foundry.data.mds import MDSRecords
from molmo_foundry.data.schema import COLUMNS, RecordError, to_sample
from molmo_foundry.data.synthetic import make_example
from molmo_foundry.processing.tokenizer import MolmoTokenizer

BATCH = 8


@pytest.fixture(scope='module')
def tokenizer() -> MolmoTokenizer:
    return MolmoTokenizer('tiny', vocab_size=1024)


def _block(folder: Path, **changes: Any) -> dict[str, Any]:
    return {'streams': {'own': {'local': str(folder)}}, 'llm': 'tiny', 'vit': 'tiny', 'max_seq_len': 1024, **changes}


def _train(tokenizer: MolmoTokenizer, folder: Path, workers: int = 0, seed: int = 5, **changes: Any) -> DataSpec:
    block = _block(folder, **{'split': 'train', 'shuffle': True, 'seed': seed, **changes})
    # Workers that live on are joined only when the loader is collected, which takes seconds.
    return build_molmo_dataloader(
        tokenizer, BATCH, block, drop_last=True, num_workers=workers, persistent_workers=False
    )


def _evaluate(tokenizer: MolmoTokenizer, folder: Path, workers: int = 0, rows: int = 3, **changes: Any) -> DataSpec:
    block = _block(folder, **changes)
    return build_molmo_dataloader(
        tokenizer, rows, block, drop_last=False, num_workers=workers, persistent_workers=False
    )


def _content(batch: dict[str, Any]) -> tuple:
    """What tells batches apart: the records, their tokens as formatted, their pixels."""
    ids = tuple(metadata['id'] for metadata in batch['metadata'])
    return ids, batch['input_ids'].tolist(), batch['labels'].tolist(), int(batch['images'].sum())


def _epochs(spec: DataSpec, count: int) -> list[tuple]:
    return [_content(batch) for _ in range(count) for batch in spec.dataloader]


@pytest.fixture(scope='module')
def two_epochs(tokenizer: MolmoTokenizer, shapes: Path) -> list[tuple]:
    return _epochs(_train(tokenizer, shapes), 2)


def test_an_epoch_has_each_record_once_in_a_new_order(two_epochs: list[tuple]) -> None:
    epochs = [[i for ids, *_ in half for i in ids] for half in (two_epochs[:5], two_epochs[5:])]
    assert len(set(epochs[0])) == 40 and set(epochs[0]) == set(epochs[1])
    assert epochs[0] != epochs[1] != sorted(epochs[0])


def test_prompts_change_with_the_epoch(two_epochs: list[tuple], tokenizer: MolmoTokenizer) -> None:
    by_epoch = [
        {record: [t for t in row if t >= 0] for ids, rows, *_ in half for record, row in zip(ids, rows)}
        for half in (two_epochs[:5], two_epochs[5:])
    ]
    assert sum(by_epoch[0][record] != by_epoch[1][record] for record in by_epoch[0]) > 30


@pytest.mark.parametrize('workers', [1, 2])
def test_workers_change_nothing(tokenizer: MolmoTokenizer, shapes: Path, two_epochs: list[tuple], workers: int) -> None:
    assert _epochs(_train(tokenizer, shapes, workers), 2) == two_epochs


def test_workers_that_live_on_change_nothing(tokenizer: MolmoTokenizer, shapes: Path, two_epochs: list[tuple]) -> None:
    block = _block(shapes, split='train', shuffle=True, seed=5)
    spec = build_molmo_dataloader(tokenizer, BATCH, block, drop_last=True, num_workers=2)
    assert _epochs(spec, 2) == two_epochs
    spec.dataloader._iterator = None  # ends the workers


def test_seed_changes_order_and_prompts(tokenizer: MolmoTokenizer, shapes: Path, two_epochs: list[tuple]) -> None:
    assert _epochs(_train(tokenizer, shapes, seed=6), 1) != two_epochs[:5]


@pytest.mark.parametrize(
    'batches, workers_before, workers_after',
    [(2, 0, 2), (2, 2, 1), (5, 2, 0), (5, 0, 1), (8, 0, 0), (8, 2, 0)],
)
def test_resume_is_exact(
    tokenizer: MolmoTokenizer,
    shapes: Path,
    two_epochs: list[tuple],
    batches: int,
    workers_before: int,
    workers_after: int,
) -> None:
    """As Composer does it: the state is saved with the samples of this epoch, 0 at the end of one."""
    dataset, seen = (spec := _train(tokenizer, shapes, workers_before)).dataloader.dataset, 0
    while seen < batches:
        for _ in spec.dataloader:
            seen += 1
            if seen == batches:
                break
    state = dataset.state_dict(batches % 5 * BATCH, True)

    resumed = _train(tokenizer, shapes, workers_after)
    resumed.dataloader.dataset.load_state_dict(state)
    rest = _epochs(resumed, 1 if batches >= 5 else 2)
    assert rest == two_epochs[batches:]


def test_state_survives_a_resume(tokenizer: MolmoTokenizer, shapes: Path) -> None:
    dataset = _train(tokenizer, shapes).dataloader.dataset
    for state in ({'epoch': 3, 'sample_in_epoch': 16}, {'epoch': 3, 'sample_in_epoch': 0}):
        state = {**dataset.state_dict(0, True), **state}
        dataset.load_state_dict(state)
        assert dataset.state_dict(state['sample_in_epoch'], True) == state


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('rows', [3, 7, 16])
def test_evaluation_gives_each_record_once(tokenizer: MolmoTokenizer, shapes: Path, workers: int, rows: int) -> None:
    spec = _evaluate(tokenizer, shapes / 'validation', workers, rows)
    first, second = (_epochs(spec, 1) for _ in range(2))
    assert [i for ids, *_ in first for i in ids] == [f'shapes-validation-{i:06d}' for i in range(7)]
    assert first == second
    assert spec.num_samples == 7


@pytest.mark.parametrize('pixels, dtype', [('fast', torch.uint8), ('exact', torch.float32)])
def test_pixels(tokenizer: MolmoTokenizer, shapes: Path, pixels: str, dtype: torch.dtype) -> None:
    batch = next(iter(_evaluate(tokenizer, shapes / 'validation', pixels=pixels).dataloader))
    assert batch['images'].dtype == dtype


def test_text_alone_has_a_blank_crop(tokenizer: MolmoTokenizer, texts: Path) -> None:
    for batch in _evaluate(tokenizer, texts, rows=4).dataloader:
        assert batch['images'].shape == (1, 64, 588) and batch['crop_counts'] == [1, 0, 0, 0]
        assert (batch['image_input_idx'] < 0).all()


def test_streams_are_mixed_by_proportion(tokenizer: MolmoTokenizer, shapes: Path, texts: Path) -> None:
    streams = {
        'shapes': {'local': str(shapes), 'split': 'train', 'proportion': 0.75},
        'texts': {'local': str(texts), 'proportion': 0.25},
    }
    block = _block(shapes, streams=streams, shuffle=True, epoch_size=32)
    spec = build_molmo_dataloader(tokenizer, BATCH, block, drop_last=True, num_workers=0)
    kinds = Counter(i.split('-')[0] for ids, *_ in _epochs(spec, 1) for i in ids)
    assert kinds == {'shapes': 24, 'text': 8}


def test_remote_streams_are_downloaded(tokenizer: MolmoTokenizer, shapes: Path, tmp_path: Path) -> None:
    local = _epochs(_evaluate(tokenizer, shapes / 'validation'), 1)
    stream = {'remote': str(shapes / 'validation'), 'local': str(tmp_path / 'cache')}
    assert _epochs(_evaluate(tokenizer, shapes, streams={'far': stream}), 1) == local


def test_streams_read_their_styles(tokenizer: MolmoTokenizer, shapes: Path) -> None:
    stream = {'local': str(shapes / 'validation'), 'styles': ['vqa2', 'pointing']}
    kept = {record.id: record for record in MDSRecords(shapes / 'validation')}
    for batch in _evaluate(tokenizer, shapes, streams={'some': stream}).dataloader:
        for row, metadata in zip(batch['input_ids'], batch['metadata']):
            text = tokenizer.decode(row[(row >= 0) & (row < 1024)])
            short = Counter(a['style'] for a in kept[metadata['id']].annotations)['vqa2']
            assert (text.count('User:'), text.count('vqa2:')) == (2 + short, short), metadata['id']


def test_stream_without_its_styles(tokenizer: MolmoTokenizer, texts: Path) -> None:
    stream = {'local': str(texts), 'styles': ['vqa2']}
    with pytest.raises(RecordError, match="stream 'some': record 'text-0' has no annotation of the styles vqa2"):
        list(_evaluate(tokenizer, texts, streams={'some': stream}).dataloader)


def test_overrides_reach_the_images(tokenizer: MolmoTokenizer, shapes: Path) -> None:
    spec = _evaluate(tokenizer, shapes / 'validation', overrides={'vision': {'crop_mode': 'resize'}})
    assert all(count == 1 for batch in spec.dataloader for count in batch['crop_counts'])


def test_too_long_record_keeps_its_row_without_weight(
    tokenizer: MolmoTokenizer, shapes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        batches = list(_evaluate(tokenizer, shapes / 'validation', max_seq_len=40).dataloader)
    assert [m['id'] for batch in batches for m in batch['metadata']] == [f'shapes-validation-{i:06d}' for i in range(7)]
    assert all(batch['input_ids'].shape[1] <= 40 and batch['loss_weights'].sum() == 0 for batch in batches)
    assert "record 'shapes-validation-000000'" in caplog.text and 'max_seq_len=40' in caplog.text


@pytest.fixture(scope='module')
def corrupt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MDS of which one record's image went bad after it was written."""
    folder = tmp_path_factory.mktemp('corrupt') / 'mds'
    records = [make_example('train', i) for i in range(6)]
    records[4].images[0] = records[4].images[0][:400]
    with MDSWriter(out=str(folder), columns=COLUMNS) as writer:
        for record in records:
            writer.write(to_sample(record, [(8, 8)]))
    return folder


@pytest.mark.parametrize('workers', [0, 2])
def test_corrupt_image_is_a_plain_error(tokenizer: MolmoTokenizer, corrupt: Path, workers: int) -> None:
    spec = _evaluate(tokenizer, corrupt, workers)
    with pytest.raises(RecordError) as error:
        list(spec.dataloader)
    message = str(error.value)
    assert message.startswith("stream 'own': record 'shapes-train-000004', images[0]: ")
    assert 'Traceback' not in message


def test_foreign_mds(tokenizer: MolmoTokenizer, tmp_path: Path) -> None:
    with MDSWriter(out=str(tmp_path / 'mds'), columns={'text': 'str'}) as writer:
        writer.write({'text': 'hello'})
    with pytest.raises(RecordError, match="stream 'own': .*no column id, images, sizes, annotations, metadata"):
        list(_evaluate(tokenizer, tmp_path / 'mds').dataloader)


def test_wrong_tokenizers(tokenizer: MolmoTokenizer, golden: Path, shapes: Path) -> None:
    with pytest.raises(ValueError, match='needs the tokenizer molmo, not PreTrainedTokenizerFast'):
        _train(PreTrainedTokenizerFast.from_pretrained(golden / 'tiny-qwen2'), shapes)
    with pytest.raises(ValueError, match='vocab_size=1024'):
        _train(MolmoTokenizer('tiny', vocab_size=1100), shapes)


@pytest.mark.parametrize(
    'changes, names',
    [
        ({'shufle': True}, 'dataset.shufle is not an option; choose from: cache_limit, epoch_size, llm, max_seq_len'),
        ({'streams': {}}, 'dataset.streams is empty'),
        ({'streams': {'a': {}}}, 'dataset.streams.a needs local'),
        ({'streams': {'a': {'path': 'x'}}}, 'dataset.streams.a.path is not an option; choose from: choose, '),
        ({'streams': {'a': {'local': 'x', 'repeat': 2}}}, 'dataset.streams.a.repeat has no effect in evaluation'),
        ({'epoch_size': 100}, 'dataset.epoch_size has no effect in evaluation'),
        ({'llm': 'gpt'}, "no language model preset 'gpt'"),
        ({'pixels': 'quick'}, 'quick'),
        ({'overrides': {'vision': {'crops': 3}}}, 'vision.crops is not a field'),
    ],
    ids=str,
)
def test_wrong_keys_are_named(tokenizer: MolmoTokenizer, shapes: Path, changes: dict, names: str) -> None:
    with pytest.raises(ValueError, match=names):
        _evaluate(tokenizer, shapes / 'validation', **changes)


def test_missing_key_is_named(tokenizer: MolmoTokenizer) -> None:
    with pytest.raises(ValueError, match='dataset.vit is missing; dataset needs: streams, llm, vit, max_seq_len'):
        build_molmo_dataloader(tokenizer, 2, {'streams': {}, 'llm': 'tiny'}, drop_last=False, num_workers=0)


def test_less_than_a_batch(tokenizer: MolmoTokenizer, shapes: Path) -> None:
    with pytest.raises(ValueError, match='has 7 records, which do not fill one batch of 8'):
        _train(tokenizer, shapes / 'validation', split=None)


def test_missing_folder_says_what_to_do(tokenizer: MolmoTokenizer, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'nowhere/train: it does not exist.*`molmo-foundry data render'):
        _train(tokenizer, tmp_path / 'nowhere')


def test_llmfoundry_builds_it_by_name(tokenizer: MolmoTokenizer, shapes: Path) -> None:
    recipe = {'name': 'molmo', 'dataset': _block(shapes, split='train'), 'drop_last': True, 'num_workers': 0}
    spec = build_dataloader(recipe, tokenizer, BATCH)
    assert isinstance(spec, DataSpec) and len(spec.dataloader) == 5
