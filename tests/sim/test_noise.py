"""Random numbers that are a function of where they are used."""

import numpy as np
import pytest
from scipy.stats import kstest

from sim.noise import hash_words, normal, uniform


def test_uniform_numbers_are_uniform():
    numbers = [uniform(1, 2, 3, j) for j in range(5000)]
    assert kstest(numbers, "uniform").pvalue > 1e-3


def test_normal_numbers_are_normal():
    numbers = [normal(1, 2, i, -7) for i in range(5000)]
    assert kstest(numbers, "norm").pvalue > 1e-3


@pytest.mark.parametrize("word", range(4))
def test_neighbouring_words_give_independent_numbers(word):
    words = np.array([5, 5, 5, 5])
    numbers = []
    for value in range(-2000, 2000):
        words[word] = value
        numbers.append(uniform(*words))
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.06


def test_a_change_of_one_bit_changes_half_of_the_bits():
    changed = [
        (int(hash_words(1, 1, i, 2)) ^ int(hash_words(1, 1, i ^ 1, 2))).bit_count()
        for i in range(1000)
    ]
    assert np.mean(changed) == pytest.approx(32, abs=0.5)
