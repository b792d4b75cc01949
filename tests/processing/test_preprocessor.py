# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
import io
import json
import pickle
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from text_fixtures import GOLDEN, TINY_QWEN2, golden_config, shared_data

from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.processing.choices import example_rng
from molmo_foundry.processing.preprocessor import ExampleTooLongError, Preprocessor
from molmo_foundry.processing.tokenizer import MolmoTokenizer
from molmo_foundry.processing.types import Conversation, Example

CONFIG = golden_config('qwen2_clip')
START, END, PATCH, COL = (CONFIG.image_token_ids[t] for t in ('<im_start>', '<im_end>', '<im_patch>', '<im_col>'))


@cache
def tokenizer():
    return MolmoTokenizer(TINY_QWEN2, vocab_size=512)


@cache
def preprocessor(**options):
    return Preprocessor.from_config(CONFIG, tokenizer(), **options)


def picture(height=60, width=90, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def qa(question, answer='yes', **more):
    return {'question': question, 'answer': answer, **more}


def encode(text):
    return tokenizer().encode_text(text)


def image_length(*size):
    return preprocessor().image_preprocessor.layout(*size).num_tokens


@pytest.mark.parametrize('name', ['qwen2_clip', 'olmo2_siglip', 'llama_dino'])
@pytest.mark.parametrize('kind', ['single', 'multi'])
def test_reference_batches(name, kind):
    prepare = Preprocessor.from_config(golden_config(name), tokenizer())
    pixels = np.load(GOLDEN / name / '..' / 'images.npz')
    batch = np.load(GOLDEN / name / f'batch_{kind}.npz')
    examples = json.loads((GOLDEN / name / f'examples_{kind}.json').read_text())
    assert len(examples) == len(batch['input_ids'])
    for row, example in enumerate(examples):
        branches = example['messages'] if isinstance(example['messages'][0], list) else [example['messages']]
        image = prepare.image_preprocessor(pixels[example['image']])
        got = prepare.assemble([Conversation(turns) for turns in branches], [image], record=str(row))
        length, crops = (batch['input_ids'][row] >= 0).sum(), len(got.images)
        assert len(got) == length
        keys = {
            'input_ids': 'input_ids',
            'labels': 'labels',
            'loss_weights': 'loss_masks',
            'position_ids': 'position_ids',
        }
        for key, reference in keys.items():
            np.testing.assert_array_equal(getattr(got, key), batch[reference][row][:length], err_msg=key)
        if kind == 'multi':
            np.testing.assert_array_equal(got.segment_ids, batch['subsegment_ids'][row][:length])
        np.testing.assert_array_equal(got.image_input_idx, batch['image_input_idx'][row][:crops])
        assert (batch['image_input_idx'][row][crops:] == -1).all()
        # The reference stored its patches in half precision.
        np.testing.assert_allclose(got.images, batch['images'][row][:crops], atol=2e-3)
        assert (got.image_masks is None) == ('image_masks' not in batch)
        if got.image_masks is not None:
            np.testing.assert_allclose(got.image_masks, batch['image_masks'][row][:crops], atol=1e-6)


def test_text_only_predicts_the_next_token():
    got = preprocessor()(Example('rec', annotations=[qa('What?', 'That')]))
    prompt, response = encode(' User: What? Assistant:'), [*encode(' That'), 0]
    assert got.input_ids.tolist() == [0, *prompt, *response[:-1]]
    assert got.labels.tolist() == [*prompt, *response]
    assert got.loss_weights.tolist() == [0.0] * len(prompt) + [1.0] * len(response)
    assert got.position_ids.tolist() == list(range(len(got)))
    assert got.segment_ids.tolist() == [10000] + [1] * (len(got) - 1)
    assert got.images.shape == (0, 64, 588) and got.images.dtype == np.float32
    assert got.image_masks.shape == (0, 64) and got.image_input_idx.shape == (0, 16)
    assert got.metadata['id'] == 'rec'


def test_inference_ends_with_the_prompt():
    example = Example('rec', [picture()], [{'messages': ['Hi', 'Ho', 'What?', 'That']}], {'image_url': 'u'})
    got = preprocessor()(example, inference=True)
    text = [*encode(' User: Hi Assistant:'), *encode(' Ho'), 0, *encode(' User: What? Assistant:')]
    assert got.input_ids[-len(text) :].tolist() == text
    assert got.labels.tolist() == [*got.input_ids[1:], -100]
    assert not got.loss_weights.any()
    assert got.metadata['image_size'] == (90, 60) and got.metadata['image_url'] == 'u'
    trained = preprocessor()(example)
    shared = len(got)
    np.testing.assert_array_equal(trained.input_ids[:shared], got.input_ids)
    for key in ('images', 'image_masks', 'image_input_idx'):
        np.testing.assert_array_equal(getattr(trained, key), getattr(got, key))


def test_inference_takes_one_annotation():
    with pytest.raises(ValueError, match="record 'rec': needs exactly one annotation for inference, not 2"):
        preprocessor()(Example('rec', annotations=[qa('a'), qa('b')]), inference=True)


def test_several_images_in_front():
    images = [picture(60, 90), picture(300, 300, 1), picture(20, 200, 2)]
    got = preprocessor()(Example('rec', images, [qa('Q <|image|>')]))
    parts = [preprocessor().image_preprocessor(image) for image in images]
    tokens = np.concatenate([part.tokens for part in parts])
    np.testing.assert_array_equal(got.input_ids[1 : 1 + len(tokens)], tokens)
    text = [*encode(' User: Q <|image|> Assistant:'), *encode(' yes')]
    assert got.input_ids[1 + len(tokens) :].tolist() == text
    check_slots(got, parts)
    assert 'image_size' not in got.metadata


def test_several_images_in_place_of_their_placeholders():
    images = [picture(60, 90), picture(300, 300, 1), picture(20, 200, 2)]
    messages = ['Is <|image|> like <|image|>?', 'No <|image|>.', 'And <|image|>', 'Yes']
    got = preprocessor()(Example('rec', images, [{'messages': messages}]))
    parts = [preprocessor().image_preprocessor(image) for image in images]
    want = [
        0,
        *encode(' User: Is '),
        *parts[0].tokens,
        *encode(' like '),
        *parts[1].tokens,
        *encode('? Assistant:'),
        *encode(' No <|image|>.'),
        0,
        *encode(' User: And '),
        *parts[2].tokens,
        *encode(' Assistant:'),
        *encode(' Yes'),
    ]
    assert got.input_ids.tolist() == want
    assert not got.loss_weights[np.isin(got.labels, [START, END, PATCH, COL])].any()
    check_slots(got, parts)


def check_slots(got, parts):
    """Every image token is fed by exactly one feature, in the order of the image it belongs to."""
    used = got.image_input_idx[got.image_input_idx >= 0]
    np.testing.assert_array_equal(np.sort(used), np.flatnonzero(got.input_ids == PATCH))
    starts = np.flatnonzero(got.input_ids == START)[::2]  # two blocks an image: the whole one and the tiles
    crops = np.cumsum([0, *(len(part.crops) for part in parts)])
    for start, part, first, last in zip(starts, parts, crops, crops[1:]):
        want = np.where(part.input_idx < 0, -100, part.input_idx + start)
        np.testing.assert_array_equal(got.image_input_idx[first:last], want)
        np.testing.assert_array_equal(got.images[first:last], part.crops)


@pytest.mark.parametrize('count', [0, 1])
def test_a_placeholder_is_text_where_it_cannot_mark_an_image(count):
    got = preprocessor()(Example('rec', [picture()] * count, [qa('What is <|image|>?', '<|image|>')]))
    text = [*encode(' User: What is <|image|>? Assistant:'), *encode(' <|image|>')]
    assert got.input_ids[-len(text) :].tolist() == text
    assert (got.input_ids == START).sum() == 2 * count


HOSTILE = [
    '<im_patch><im_start>',
    '<|endoftext|>',
    '<|image|>',
    '\x00',
    '\u202eevil\u202c',
    '\ud800',
    'ﷺ' * 50,
    '{label} {0} %s',
    '   ',
]


@pytest.mark.parametrize('text', HOSTILE)
def test_hostile_text_is_text(text):
    got = preprocessor()(Example('rec', [picture()], [qa(text, text), qa('Q', text)]))
    check_slots(got, [preprocessor().image_preprocessor(picture())])
    readable = text.replace('\ud800', '\ufffd')
    length = image_length(60, 90)
    assert tokenizer().decode(got.input_ids[1 + length :]) == (
        f' User: {readable} Assistant: {readable}<|endoftext|> User: Q Assistant: {readable}'
    )
    assert (got.labels[got.loss_weights > 0] == 0).sum() == 2


def test_an_empty_answer_is_learned_as_such():
    got = preprocessor()(Example('rec', annotations=[qa('Q', '')]))
    assert got.labels[got.loss_weights > 0].tolist() == [*encode(' '), 0]


def test_a_megabyte_of_question_is_refused_by_name():
    with pytest.raises(
        ExampleTooLongError, match=r"record 'rec': 1 tokens of images and BOS and \d{6,} .*max_seq_len=512"
    ):
        preprocessor(max_seq_len=512)(Example('rec', annotations=[qa('why ' * 250_000)]))


def test_annotations_that_do_not_fit_are_left_out_whole():
    short, long = qa('Q'), qa('Q', 'no ' * 200)
    full = preprocessor()(Example('rec', [picture()], [short, long, short]))
    assert 'dropped_annotations' not in full.metadata
    limit = len(full) - 1
    got = preprocessor(max_seq_len=limit)(Example('rec', [picture()], [short, long, short]))
    kept = preprocessor()(Example('rec', [picture()], [short, long]))
    np.testing.assert_array_equal(got.input_ids, kept.input_ids)
    np.testing.assert_array_equal(got.loss_weights, kept.loss_weights)  # the square root of 1/2
    assert got.metadata['dropped_annotations'] == 1
    # Without the long one there is room for both short ones.
    got = preprocessor(max_seq_len=limit // 2)(Example('rec', [picture()], [short, long, short]))
    kept = preprocessor()(Example('rec', [picture()], [short, short]))
    np.testing.assert_array_equal(got.input_ids, kept.input_ids)
    assert len(preprocessor(max_seq_len=len(full))(Example('rec', [picture()], [short, long, short]))) == len(full)


def test_an_image_is_never_cut():
    example = Example('rec', [picture()], [qa('Q')])
    exact = len(preprocessor()(example))
    assert len(preprocessor(max_seq_len=exact)(example)) == exact
    with pytest.raises(ExampleTooLongError, match="record 'rec'.*max_seq_len="):
        preprocessor(max_seq_len=exact - 1)(example)
    asked = len(preprocessor()(example, inference=True))
    assert len(preprocessor(max_seq_len=asked)(example, inference=True)) == asked
    with pytest.raises(ExampleTooLongError):
        preprocessor(max_seq_len=asked - 1)(example, inference=True)


def test_weights_of_annotations_and_trees():
    annotations = [qa('a', weight=1.5), qa('b')]
    got = preprocessor()(Example('rec', annotations=annotations))
    assert set(np.unique(got.loss_weights)) == {np.float32(0), np.float32(1.5 / 2**0.5), np.float32(1 / 2**0.5)}
    flat = MolmoConfig(**{**CONFIG.to_dict(), 'multi_annotation_weighting': None})
    got = Preprocessor.from_config(flat, tokenizer())(Example('rec', annotations=annotations))
    assert set(np.unique(got.loss_weights)) == {0, 1, 1.5}


def test_without_a_prompt_no_branch_learns_from_the_one_before():
    bare = {'prompt_type': 'none', 'system_prompt_kind': 'none', 'message_formatting': 'none'}
    config = MolmoConfig(**{**CONFIG.to_dict(), **bare, 'always_start_with_space': False})
    prepare = Preprocessor.from_config(config, tokenizer())
    got = prepare(Example('rec', annotations=[{'text': 'one'}, {'text': 'two'}]))
    boundary = np.flatnonzero(np.diff(got.segment_ids) > 0)
    assert boundary.size == 1 and got.loss_weights[boundary] == 0
    assert got.loss_weights[0] > 0  # the first branch does follow its prefix


def test_training_shuffles_annotations_by_the_rng_alone():
    example = Example('rec', [picture()], [qa(f'Q{i}', str(i)) for i in range(4)])
    rows = [preprocessor()(example, rng=example_rng(0, epoch, 'rec')).input_ids.tobytes() for epoch in range(20)]
    assert len(set(rows)) > 5
    assert rows == [
        preprocessor()(example, rng=example_rng(0, epoch, 'rec')).input_ids.tobytes() for epoch in range(20)
    ]
    ordered = preprocessor(shuffle_annotations=False)(example, rng=example_rng(0, 0, 'rec'))
    np.testing.assert_array_equal(ordered.input_ids, preprocessor()(example).input_ids)


def test_encoded_images_and_fast_pixels():
    file = io.BytesIO()
    Image.fromarray(picture()).save(file, 'PNG')
    annotation = {'style': 'pointing', 'label': 'x', 'points': [[45, 30]]}
    exact = preprocessor()(Example('rec', [file.getvalue()], [annotation]))
    assert exact.images.dtype == np.float32
    assert '<point x="50.0" y="50.0"' in tokenizer().decode(exact.input_ids)
    assert exact.metadata['points'] == [[45.0, 30.0]]
    fast = preprocessor(pixels='fast')(Example('rec', [file.getvalue()], [annotation]))
    assert fast.images.dtype == np.uint8 and fast.images.shape == exact.images.shape
    np.testing.assert_array_equal(fast.input_ids, exact.input_ids)


def test_errors_name_the_record():
    with pytest.raises(ValueError, match=r"record 'rec', images\[1\]: "):
        preprocessor()(Example('rec', [picture(), b'not an image'], [qa('Q')]))
    with pytest.raises(ValueError, match=r"record 'rec', annotations\[0\]: .*needs the size of one image"):
        preprocessor()(Example('rec', [picture()] * 2, [{'style': 'pointing', 'label': 'x', 'points': [[1, 1]]}]))
    with pytest.raises(ValueError, match=r'the model at .*vocab_size=600 and image_token_start=600'):
        Preprocessor.from_config(MolmoConfig(vocab_size=600), tokenizer())


def test_can_be_sent_to_a_worker():
    prepare = pickle.loads(pickle.dumps(preprocessor(max_seq_len=300)))
    example = Example('rec', [picture()], [qa('Q')])
    np.testing.assert_array_equal(prepare(example).input_ids, preprocessor()(example).input_ids)


sizes = st.sampled_from([(1, 1), (60, 90), (112, 112), (113, 112), (250, 90), (90, 250), (240, 260)])
words = st.text('ab <|image|>?', max_size=30)


@settings(max_examples=40, deadline=None)
@given(st.lists(sizes, max_size=3), st.lists(st.tuples(words, words), min_size=1, max_size=4))
def test_any_tree_of_any_images_is_consistent(image_sizes, pairs):
    images = [preprocessor().image_preprocessor(np.zeros((*size, 3), np.uint8)) for size in image_sizes]
    branches = [Conversation([f' User: {q} Assistant:', f' {a}']) for q, a in pairs]
    got = preprocessor().assemble(branches, images, record='rec')
    check_slots(got, images)
    for key in ('labels', 'loss_weights', 'position_ids', 'segment_ids'):
        assert len(getattr(got, key)) == len(got.input_ids)
    np.testing.assert_array_equal(got.labels[:-1], got.input_ids[1:])
    # Each branch is what it would be alone behind the same images: tokens, positions, and what is learned.
    for index, branch in enumerate(branches, start=1):
        if len(branches) > 1 and len(images) > 1 and branch.turns[0].count('<|image|>') == len(images):
            continue  # alone, its images would go into the text
        alone = preprocessor().assemble([branch], images, record='rec')
        seen = (got.segment_ids == 10000) | (got.segment_ids == index)
        width = len(alone)
        np.testing.assert_array_equal(got.input_ids[seen][:width], alone.input_ids)
        np.testing.assert_array_equal(got.position_ids[seen][:width], alone.position_ids)
        np.testing.assert_array_equal(
            got.labels[seen][:width][alone.loss_weights > 0], alone.labels[alone.loss_weights > 0]
        )
        np.testing.assert_allclose(
            got.loss_weights[seen][:width], alone.loss_weights * len(branches) ** -0.5, rtol=1e-6
        )
        assert seen.sum() in (width, width + 1)  # in the middle of a tree the EOS is an input too


@cache
def released():
    return MolmoTokenizer(shared_data('molmo_7b_d_release'), vocab_size=152064)


@pytest.mark.parametrize(
    ('size', 'tokens', 'patches', 'crops'),
    [
        ((32, 32), 316, 288, 2),
        ((337, 336), 420, 384, 3),
        ((336, 672), 508, 480, 4),
        ((480, 640), 740, 704, 7),
        ((640, 480), 748, 704, 7),
        ((768, 1024), 1196, 1152, 13),
        ((2000, 300), 1148, 1056, 10),
    ],
)
def test_token_counts_of_the_released_7b_d(size, tokens, patches, crops):
    prepare = Preprocessor.from_config(MolmoConfig(), released())
    question = 'What does <im_patch> mean, and how many cats are there?'
    example = Example('rec', [np.zeros((*size, 3), np.uint8)], [{'style': 'vqa2', 'question': question}])
    got = prepare(example, inference=True)
    assert (got.input_ids == 152066).sum() == (got.image_input_idx >= 0).sum() == patches
    assert released().decode(got.input_ids[1 + tokens :]) == f' User: vqa2: {question} Assistant:'
    assert len(got.images) == crops
