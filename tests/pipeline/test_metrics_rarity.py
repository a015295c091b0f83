"""Edits that ask for what the training data hardly has, on cases made by hand and by counting."""

from __future__ import annotations

import numpy as np

from pipeline.attributes import same_attribute
from pipeline.metrics.rarity import COMMON, RARE, rare_requests

WOMAN, MAN = 1.0, -1.0
BEARD, SHAVEN = 1.0, -1.0
APART = same_attribute(["gender", "beard"])
UP, DOWN = 0, 1


def people(**counts):
    """Rows of gender and beard."""
    kinds = {
        "woman": (WOMAN, SHAVEN),
        "bearded": (MAN, BEARD),
        "shaven": (MAN, SHAVEN),
        "both": (WOMAN, BEARD),
    }
    return np.array([kinds[kind] for kind, count in counts.items() for _ in range(count)])


def asked(labels, train, step=2.0):
    return rare_requests(np.array(labels), train, np.full(2, step), APART)


def test_a_bearded_woman_is_rare():
    train = people(woman=500, bearded=200, shaven=300)
    woman, bearded, shaven = asked([(WOMAN, SHAVEN), (MAN, BEARD), (MAN, SHAVEN)], train)
    assert woman[UP].tolist() == [False, True]  # a beard for a woman
    assert bearded[UP].tolist() == [True, False]  # a man with a beard made a woman
    assert not shaven.any()  # a beard for a man, or a shaven woman: common


def test_a_combination_that_is_there_is_not_rare():
    enough = round(1000 * RARE)
    train = people(woman=500 - enough, bearded=200, shaven=300, both=enough)
    assert not asked([(WOMAN, SHAVEN)], train).any()
    fewer = people(woman=501 - enough, bearded=200, shaven=300, both=enough - 1)
    assert asked([(WOMAN, SHAVEN)], fewer)[0, UP, 1]


def test_an_extreme_value_alone_is_not_a_rare_combination():
    train = people(woman=500, bearded=round(1000 * COMMON) - 1, shaven=501 - round(1000 * COMMON))
    assert not asked([(WOMAN, SHAVEN)], train).any()  # beards are rare by themselves


def test_the_columns_of_one_attribute_are_no_combination():
    train = people(woman=500, bearded=200, shaven=300)
    classes = same_attribute(["pet.cat", "pet.dog"])
    assert not rare_requests(np.array([(WOMAN, SHAVEN)]), train, np.full(2, 2.0), classes).any()


def test_it_is_what_counting_finds():
    random = np.random.default_rng(0)
    mixing = np.array([[1, 0.95, 0], [0, 0.4, 0], [0, 0, 1.0]])
    train, labels = (random.normal(size=(count, 3)) @ mixing for count in (600, 25))
    step, same = np.array([1.0, 0.7, 1.5]), same_attribute("abc")
    found = rare_requests(labels, train, step, same)
    assert found.any() and not found.all()
    middle = np.median(train, axis=0)
    for n, row in enumerate(labels):
        for side, sign in enumerate((1, -1)):
            for k in range(3):
                end = row[k] + sign * step[k]
                edited = [sign * value[k] >= sign * end for value in train]
                rare = []
                for j in set(range(3)) - {k}:
                    outward = 1 if row[j] >= middle[j] else -1
                    kept = [outward * value[j] >= outward * row[j] for value in train]
                    both = np.mean([a and b for a, b in zip(edited, kept, strict=True)])
                    rare.append(both < RARE and np.mean(edited) >= COMMON and np.mean(kept) >= COMMON)
                assert found[n, side, k] == any(rare), (n, side, k)
