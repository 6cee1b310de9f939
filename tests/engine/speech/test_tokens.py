"""The words that tokens spell, and the file that tokens are read from."""

from __future__ import annotations

import pytest

from appliance.engine.speech.tokens import Vocabulary
from appliance.errors import InvalidManifest

TOKENS = [b"<unk>", b"<s>", b"</s>", b"\xc3", b"\xa9", "▁caf".encode(), "▁one".encode(), b"!", b"<<ST_1>>", b"x" * 300]


def packed() -> bytes:
    sizes = [bytes([len(t)]) if len(t) < 128 else bytes([128 | len(t) & 127, len(t) >> 7]) for t in TOKENS]
    return b"".join(size + token for size, token in zip(sizes, TOKENS, strict=True))


def test_words_are_joined_from_tokens_and_single_bytes() -> None:
    vocabulary = Vocabulary(packed())
    assert len(vocabulary) == len(TOKENS)
    words = vocabulary.words([6, 5, 3, 4, 7, 8], [0.5, 1.0, 0.5, 0.5, 0.25, 0.1])
    assert [(word.text, word.confidence) for word in words] == [("one", 0.5), ("café!", pytest.approx(0.5))]
    assert vocabulary.words([9], [1.0])[0].text == "x" * 300


def test_control_tokens_give_no_words() -> None:
    vocabulary = Vocabulary(packed())
    assert vocabulary.words([], []) == []
    assert vocabulary.words([0, 1, 2, 8], [1.0] * 4) == []


def test_invalid_utf_8_does_not_stop_the_rest() -> None:
    words = Vocabulary(packed()).words([3, 6], [1.0, 1.0])
    assert [word.text for word in words] == ["\ufffd", "one"]


def test_a_truncated_file_is_refused() -> None:
    for cut in (1, 5):
        with pytest.raises(InvalidManifest, match="within a token"):
            Vocabulary(packed()[:-cut])
