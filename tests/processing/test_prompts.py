# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
import re
from importlib.resources import files

import numpy as np
import pytest
import yaml

from molmo_foundry.processing.choices import FirstChoice, RandomChoice, example_rng, long_ways
from molmo_foundry.processing.prompts import LABEL, fill_label, prompt_families
from molmo_foundry.processing.styles import STYLES

SIZES = {'long_caption': 23, 'pointing': 43, 'point_count': 57, 'no_pointing': 32}
"""The fewest sentences of a family: as many as the released models were trained on."""


@pytest.mark.parametrize('family', SIZES)
def test_families_are_varied_and_distinct(family):
    sentences = prompt_families()[family]
    assert len(sentences) >= SIZES[family]
    plain = [re.sub(r'[^a-z{} ]', '', sentence.lower()) for sentence in sentences]
    assert len(set(plain)) == len(plain)


def test_every_family_is_read_by_a_style_and_the_other_way_round():
    read = {style.family for style in STYLES.values() if style.family} | {'no_pointing'}
    assert read == set(prompt_families()) == set(SIZES)


@pytest.mark.parametrize(
    ('family', 'times'), [('long_caption', 0), ('no_pointing', 0), ('pointing', 1), ('point_count', 1)]
)
def test_sentences_are_well_formed(family, times):
    for sentence in prompt_families()[family]:
        assert sentence.count(LABEL) == times and sentence.count('{') == times
        assert sentence == ' '.join(sentence.split())
        # Either a sentence or a note: capitals go with a mark at the end, except for a bare lower-case style.
        assert not sentence[0].isupper() or sentence[-1] in '.?'
        assert 'this isn' not in sentence.lower()  # the response is "There are none."


def test_data_file_is_plain_yaml():
    text = files('molmo_foundry.processing').joinpath('prompts.yaml').read_text(encoding='utf-8')
    assert all(isinstance(s, str) for sentences in yaml.safe_load(text).values() for s in sentences)


def test_braces_in_a_label_are_text():
    assert fill_label('Find {label}.', '{label} {0} %s') == 'Find {label} {0} %s.'


def test_example_rng_depends_on_each_part_and_on_nothing_else():
    def draw(*key):
        return example_rng(*key).integers(2**62)

    keys = [(0, 0, 'a'), (1, 0, 'a'), (0, 1, 'a'), (0, 0, 'b'), (0, 10, 'a'), (0, 1, '0 a'), (0, 0, '\ud800')]
    assert len({draw(*key) for key in keys}) == len(keys)
    assert draw(3, 1, 'x') == draw(3, 1, 'x') == 1425655863605518117


def test_choices():
    options = ['aa', 'a', 'aaaa']
    assert FirstChoice().pick(options) == 'aa' and FirstChoice().noise(25) == 0
    random = RandomChoice(example_rng(0, 0, 'x'))
    drawn = [random.pick(options, [0.9, 0.1, 0]) for _ in range(1000)]
    # Binomial with n = 1000, p = 0.1: five standard deviations are 47.
    assert 'aaaa' not in drawn and abs(drawn.count('a') - 100) < 48
    assert {random.pick(options) for _ in range(100)} == set(options)
    assert len({random.noise(25) for _ in range(100)}) > 20


def test_long_ways_are_all_that_may_be_the_longest():
    labelled = [
        f'the {LABEL}',
        f'find the {LABEL}',
        f'show the {LABEL}.',
        f'where is the {LABEL}?',
        f'is there {LABEL}?',
    ]
    contenders = labelled[1:4]  # the longest of those in which the label stands between the same characters
    written = long_ways(lambda choices: (choices.pick(['no', 'yes']), choices.pick(labelled)), len)
    assert sorted(written) == sorted(('yes', sentence) for sentence in contenders)
    noises = sorted(long_ways(lambda choices: choices.noise(25), len))
    assert noises[0] == -200 and noises[-1] >= 200 and max(np.diff(noises)) < 15
