# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Caption metrics and loss totals."""

import pytest

from molmo_foundry.eval.metrics import score


def test_overlap_takes_the_best_reference():
    scores = score('caption', prediction='A red cup, a cup.', references=['a blue car', 'The red cup'])
    assert scores == pytest.approx(
        {'words': 5, 'length_ratio': 5 / 3, 'word_precision': 2 / 5, 'word_recall': 2 / 3, 'word_f1': 0.5}
    )


def test_overlap_of_a_caption_with_itself():
    scores = score('caption', prediction="it's a cup", references="It's a cup")
    assert scores == {'words': 3.0, 'length_ratio': 1.0, 'word_precision': 1.0, 'word_recall': 1.0, 'word_f1': 1.0}


@pytest.mark.parametrize(('prediction', 'references'), [('', 'a cup'), ('a cup', ''), ('', ['', ''])])
def test_overlap_without_words_is_zero(prediction, references):
    if references == '':
        references = ['']
    assert score('caption', prediction=prediction, references=references)['word_f1'] == 0.0


@pytest.mark.parametrize('metric', ['caption', 'cap_f1'])
def test_references_are_required(metric):
    fields = {'judge': lambda prompt: ''} if metric == 'cap_f1' else {}
    with pytest.raises(ValueError, match='references'):
        score(metric, prediction='a cup', references=[], **fields)


class FactJudge:
    """Takes every sentence as a statement, and one as supported if the description contains it."""

    def __init__(self):
        self.calls = 0

    def __call__(self, prompt):
        self.calls += 1
        description = prompt.split('Description:\n', 1)[1]
        if 'Statements:' not in prompt:
            return '\n'.join(f'- {fact.strip()}' for fact in description.split('.') if fact.strip())
        description, statements = description.split('\n\nStatements:\n')
        lines = [line.split('. ', 1) for line in statements.strip().splitlines()]
        return '\n'.join(f'{number}: {"Yes" if fact in description else "no"}' for number, fact in lines)


def test_cap_f1_weighs_right_and_complete():
    judge = FactJudge()
    scores = score(
        'cap_f1',
        prediction='The cup is red. The cup is full',
        references=['The cup is red. It stands on a table', 'The room is dark. The cup is red'],
        judge=judge,
    )
    # One of two statements is borne out; the references' four hold one of the caption's, twice.
    assert scores == pytest.approx({'cap_precision': 1 / 2, 'cap_recall': 2 / 4, 'cap_f1': 0.5})
    assert judge.calls == 4


def test_cap_f1_of_nothing_is_zero():
    judge = FactJudge()
    scores = score('cap_f1', prediction=' ', references='The cup is red', judge=judge)
    assert scores == {'cap_precision': 0.0, 'cap_recall': 0.0, 'cap_f1': 0.0}
    assert judge.calls == 1


def test_cap_f1_wants_a_verdict_on_every_statement():
    replies = iter(['one\ntwo', 'three', '1. yes', '1. yes'])
    with pytest.raises(ValueError, match=r'no verdict on statements \[2\] of 2'):
        score('cap_f1', prediction='x', references='y', judge=lambda prompt: next(replies))
