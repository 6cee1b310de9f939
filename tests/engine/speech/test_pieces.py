"""How a recording is cut into pieces, with a stand-in for the voice activity: loud frames are speech."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from appliance.engine.speech.pieces import Piece, PieceCutter
from appliance.engine.speech.tokens import SpokenWord
from appliance.engine.speech.transcriber import Word, place_words, sentences

RATE = 16_000
FRAME = 512


class Loudness:
    """In place of the graph: the loudness of a frame is its probability."""

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert inputs["input"].shape[1] == 64 + FRAME
        return [np.abs(inputs["input"][:, 64:]).mean(axis=1), inputs["h"], inputs["c"]]


def recording(seconds: float, *speech: tuple[float, float]) -> np.ndarray:
    """Return silence with speech at each (start, end) in seconds, on whole frames."""
    samples = np.zeros(round(seconds * RATE), np.float32)
    for start, end in speech:
        samples[round(start * RATE / FRAME) * FRAME : round(end * RATE / FRAME) * FRAME] = 0.9
    return samples


def cut(samples: np.ndarray, block: int = RATE) -> list[Piece]:
    activity: Any = SimpleNamespace(graph=Loudness())
    blocks = [samples[i : i + block] for i in range(0, len(samples), block)]
    return list(PieceCutter(activity, RATE, 30.0).cut(blocks))


def spans(pieces: list[Piece]) -> list[tuple[float, float]]:
    return [(float(p.voiced_at[0]) / RATE, float(p.voiced_at[-1] + FRAME) / RATE) for p in pieces]


def test_silence_and_a_click_give_no_pieces() -> None:
    assert cut(np.zeros(0, np.float32)) == []
    assert cut(recording(20)) == []
    assert cut(recording(5, (2.0, 2.064))) == []


@pytest.mark.parametrize("block", [100, 700, RATE, 60 * RATE])
def test_pieces_are_the_same_for_blocks_of_any_size(block: int) -> None:
    samples = recording(60, (5, 8), (12, 13), (13.4, 14), (30, 59.9))
    pieces = cut(samples, block)
    assert spans(pieces)[:2] == [pytest.approx((5, 8), abs=0.02), pytest.approx((12, 14), abs=0.02)]
    assert spans(pieces)[-1][1] == pytest.approx(59.9, abs=0.04)
    samples_of_pieces = np.concatenate([piece.samples for piece in pieces])
    assert (samples_of_pieces > 0.5).sum() == (samples > 0.5).sum()
    for piece, (start, _) in zip(pieces, spans(pieces), strict=True):
        lead = int((piece.samples > 0.5).argmax())  # quiet before the speech
        origin = round(start * RATE) - lead
        assert np.array_equal(piece.samples[: len(samples) - origin], samples[origin : origin + len(piece.samples)])


def test_a_short_pause_cuts_only_a_piece_that_is_long_already() -> None:
    pieces = cut(recording(40, *[(i, i + 3.6) for i in range(0, 40, 4)]))
    assert [round(end - start, 1) for start, end in spans(pieces)] == [15.6, 15.6, 7.6]


def test_speech_without_a_pause_is_cut_and_each_sample_is_in_one_piece() -> None:
    samples = recording(100, (1, 99))
    pieces = cut(samples)
    assert len(pieces) > 3
    assert max(len(piece.samples) for piece in pieces) <= 30 * RATE
    voiced = np.concatenate([piece.voiced_at for piece in pieces])
    assert np.array_equal(np.unique(voiced), voiced)
    assert sum(int((piece.samples > 0.5).sum()) for piece in pieces) == int((samples > 0.5).sum())


def test_memory_does_not_grow_with_the_recording() -> None:
    activity: Any = SimpleNamespace(graph=Loudness())
    cutter = PieceCutter(activity, RATE, 30.0)
    most = 0
    for _ in cutter.cut([recording(1, (0.2, 0.8))] * 120 + [recording(1)] * 300):
        most = max(most, len(cutter._frames))
    assert 0 < most * FRAME < 32 * RATE
    assert len(cutter._frames) * FRAME < RATE


def test_words_are_spread_over_speech_but_not_over_pauses() -> None:
    pieces = cut(recording(10, (1, 2), (3, 4)))
    assert len(pieces) == 1
    words = place_words([SpokenWord("one", 0.5), SpokenWord("two", 0.25)], pieces[0], RATE)
    times_ms = [time_ms for word in words for time_ms in (word.start_ms, word.end_ms)]
    assert times_ms == pytest.approx([1000, 2000, 3000, 4000], abs=20)
    assert [w.confidence for w in words] == [0.5, 0.25]
    assert place_words([], pieces[0], RATE) == []


def test_sentences_end_at_words_with_a_final_mark() -> None:
    words = [Word(text, i * 10, i * 10 + 9, 1.0) for i, text in enumerate(["Yes.", "No", 'way!"', "So", "on"])]
    assert [(s.text, s.start_ms, s.end_ms) for s in sentences(words)] == [
        ("Yes.", 0, 9),
        ('No way!"', 10, 29),
        ("So on", 30, 49),
    ]
    assert sentences([]) == []
