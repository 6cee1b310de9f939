"""The spoken sample of the product with its text, and a count of wrong words in a transcript."""

from __future__ import annotations

import re

import pytest

from appliance import ROOT

SAMPLE = ROOT / "appliance" / "samples" / "speech.flac"
SAMPLE_TEXT = SAMPLE.with_suffix(".txt").read_text(encoding="utf-8")
SAMPLE_MS = 19_807

needs_model = pytest.mark.usefixtures("speech_model")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return re.sub(r"[^a-z' ]", " ", text.lower()).split()


def wrong_words(text: str, truth: str = SAMPLE_TEXT) -> int:
    """How many words must be inserted, deleted or replaced to turn ``text`` into ``truth``."""
    words, true_words = words_of(text), words_of(truth)
    row = list(range(len(true_words) + 1))
    for row_number, word in enumerate(words, 1):
        before, row = row, [row_number]
        for column, true_word in enumerate(true_words, 1):
            row.append(min(before[column] + 1, row[-1] + 1, before[column - 1] + (word != true_word)))
    return row[-1]
