# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The length index's measure: never below what training draws, and no more than the longest draw there is."""

from functools import cache
from typing import Any, Iterator, Optional, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from text_fixtures import TINY_QWEN2, golden_config, shared_data

from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.processing.choices import example_rng
from molmo_foundry.processing.preprocessor import ExampleTooLongError, Preprocessor
from molmo_foundry.processing.tokenizer import MolmoTokenizer
from molmo_foundry.processing.types import Example, ImageInputs

FORMATS = {
    'stage 2': {},
    'stage 1': {
        'prompt_type': 'none',
        'message_formatting': 'none',
        'system_prompt_kind': 'style_and_length',
        'always_start_with_space': False,
    },
    'bare sentences': {
        'message_formatting': 'none',
        'system_prompt_kind': 'none',
        'always_start_with_space': False,
    },
}
TOKENIZERS = {
    'golden': lambda: MolmoTokenizer(TINY_QWEN2, vocab_size=512),
    'tiny': lambda: MolmoTokenizer('tiny', vocab_size=1024),
    'Molmo-7B-D': lambda: MolmoTokenizer(shared_data('molmo_7b_d_release'), vocab_size=152064),
    'MolmoE': lambda: MolmoTokenizer(shared_data('olmoe_tokenizer'), vocab_size=50280),
}


@cache
def preprocessor(tokenizer: str = 'golden', formatting: str = 'stage 2', max_seq_len: Optional[int] = None):
    own = TOKENIZERS[tokenizer]()
    vision = golden_config('qwen2_clip').vision.to_dict()
    start = own.image_token_ids['<im_start>']
    config = MolmoConfig(vocab_size=start, image_token_start=start, vision=vision, **FORMATS[formatting])
    return Preprocessor.from_config(config, own, max_seq_len=max_seq_len)


words = st.text('ab <|image|>?', max_size=30)
odd_words = st.text('aB 1=.,!?"\n\'é́<|image|>{label}', max_size=20)
points = st.lists(st.tuples(st.floats(0, 99), st.floats(0, 99)), max_size=3)
SETTLED = st.one_of(
    st.builds(lambda q, a: {'style': 'vqa2', 'question': q, 'answer': a}, words, words),
    st.builds(lambda q, a: {'messages': [q, a, q, a]}, odd_words, words),
    st.builds(lambda o: {'question': '?', 'options': o, 'answer_idx': 0}, st.lists(words, min_size=1)),
    st.builds(lambda p: {'style': 'point_qa', 'prompt': 'Where?', 'points': p, 'answer': 'Here.'}, points),
)
"""Annotations that are written in one way only, by the formatting of stage 2."""

DRAWN = st.one_of(
    st.builds(lambda w, p: {'style': 'pointing', 'label': f'x{w}', 'points': p, 'point_scale': 100}, odd_words, points),
    st.builds(
        lambda w, p: {'style': 'point_count', 'label': f'{w}x', 'points': p, 'point_scale': 100}, odd_words, points
    ),
    st.builds(lambda a: {'style': 'vqa2', 'question': '?', 'answers': a}, st.lists(odd_words, min_size=1, max_size=4)),
    st.builds(lambda q: {'style': 'user_qa', 'question': f'how many {q}', 'answer': '2'}, odd_words),
    st.builds(lambda a: {'style': 'long_caption', 'text': a * 9}, odd_words),
    st.builds(lambda q, a: {'style': 'synthetic_qa', 'messages': [q, a, f'How many{q}?', a]}, odd_words, words),
)


class Odometer:
    """Takes every combination of decisions, one a time: `Choices` that say whether there is another."""

    def __init__(self) -> None:
        self.wheels: list[tuple[int, int]] = []
        self.at = 0

    def turn(self) -> bool:
        while self.wheels and self.wheels[-1][0] + 1 == self.wheels[-1][1]:
            self.wheels.pop()
        if self.wheels:
            self.wheels[-1] = self.wheels[-1][0] + 1, self.wheels[-1][1]
        self.at = 0
        return bool(self.wheels)

    def pick(self, options: Sequence[Any], weights: Optional[Sequence[float]] = None) -> Any:
        if self.at == len(self.wheels):
            self.wheels.append((0, len(options)))
        self.at += 1
        return options[self.wheels[self.at - 1][0]]

    def noise(self, std: float) -> int:
        return self.pick(range(int(-6 * std), int(6 * std), 30))


def every_length(prepare: Preprocessor, example: Example, images: Sequence[ImageInputs]) -> Iterator[int]:
    """Lengths of an example in every way that it can be written."""
    odometer, left = Odometer(), True
    while left:
        size = (90, 60) if len(images) == 1 else None
        conversations, _ = prepare.formatter(example, choices=odometer, image_size=size)
        yield len(prepare.assemble(conversations, images, record=example.id))
        left = odometer.turn()


@pytest.mark.parametrize('tokenizer', TOKENIZERS)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(annotation=DRAWN, formatting=st.sampled_from(list(FORMATS)), num_images=st.sampled_from([0, 2]))
def test_it_is_the_longest_of_all_ways_to_write(
    tokenizer: str, annotation: dict[str, Any], formatting: str, num_images: int
) -> None:
    prepare = preprocessor(tokenizer, formatting)
    images = [prepare.image_preprocessor(np.zeros((60, 90, 3), np.uint8))] * num_images
    example = Example('rec', [], [annotation])
    tokens, crops = prepare.length_bound(example, [(90, 60)] * num_images)
    longest = max(every_length(prepare, example, images))
    if formatting == 'stage 1':  # the hints that are tried here are a little less extreme
        assert longest <= tokens <= longest + 1
    else:
        assert tokens == longest
    assert crops == sum(len(image.crops) for image in images)


sizes = st.sampled_from([(1, 1), (60, 90), (112, 112), (113, 112), (250, 90), (90, 250), (240, 260)])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(SETTLED, DRAWN), min_size=1, max_size=3),
    st.lists(sizes, max_size=3),
    st.integers(0, 100),
    st.sampled_from(list(FORMATS)),
    st.sampled_from([None, 150, 250]),
)
def test_no_draw_is_longer(
    annotations: list[dict[str, Any]],
    image_sizes: list[tuple[int, int]],
    seed: int,
    formatting: str,
    max_seq_len: Optional[int],
) -> None:
    prepare = preprocessor('golden', formatting, max_seq_len)
    pictures = [np.zeros((*size, 3), np.uint8) for size in image_sizes]
    tokens, crops = prepare.length_bound(Example('rec', [], annotations), [size[::-1] for size in image_sizes])
    for epoch in range(5):
        try:
            got = prepare(Example('rec', pictures, annotations), rng=example_rng(seed, epoch, 'rec'))
        except ExampleTooLongError:
            assert tokens > max_seq_len
            continue
        assert len(got) <= tokens and len(got.images) == crops


@settings(max_examples=60, deadline=None)
@given(st.lists(SETTLED, min_size=1, max_size=3), st.lists(sizes, max_size=3), st.integers(0, 100))
def test_it_is_the_length_where_nothing_is_drawn(
    annotations: list[dict[str, Any]], image_sizes: list[tuple[int, int]], seed: int
) -> None:
    pictures = [np.zeros((*size, 3), np.uint8) for size in image_sizes]
    got = preprocessor()(Example('rec', pictures, annotations), rng=example_rng(seed, 0, 'rec'))
    tokens, _ = preprocessor().length_bound(Example('rec', [], annotations), [size[::-1] for size in image_sizes])
    assert tokens == len(got)


def test_images_in_the_text_count_once() -> None:
    annotation = {'messages': ['Is <|image|> larger than <|image|>?', 'No, <|image|> is not.']}
    pictures = [np.zeros((60, 90, 3), np.uint8)] * 2
    got = preprocessor()(Example('rec', pictures, [annotation]))
    assert preprocessor().length_bound(Example('rec', [], [annotation]), [(90, 60)] * 2) == (len(got), len(got.images))


def test_an_annotation_that_cannot_be_written_is_called_by_its_number() -> None:
    with pytest.raises(ValueError, match=r"record 'rec', annotations\[1\]"):
        preprocessor().length_bound(Example('rec', [], [{'messages': ['a', 'b']}, {'style': 'vqa2'}]), [])
