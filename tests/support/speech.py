"""The speech sample and the model that reads it, for the tests that need both."""

from __future__ import annotations

import re

import pytest

from appliance.config import ROOT

SAMPLE = ROOT / "appliance" / "samples" / "speech.flac"
SAMPLE_TEXT = SAMPLE.with_suffix(".txt").read_text(encoding="utf-8")
SAMPLE_MS = 19_807


needs_model = pytest.mark.usefixtures("speech_model")


def spoken(text: str) -> list[str]:
    """The words of a text, without case and punctuation."""
    return re.sub(r"[^a-z' ]", " ", text.lower()).split()


def wrong_words(text: str, truth: str = SAMPLE_TEXT) -> int:
    """How many words must be put in, left out or exchanged to make ``text`` the truth."""
    heard, said = spoken(text), spoken(truth)
    row = list(range(len(said) + 1))
    for i, word in enumerate(heard, 1):
        before, row = row, [i]
        for j, other in enumerate(said, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (word != other)))
    return row[-1]
