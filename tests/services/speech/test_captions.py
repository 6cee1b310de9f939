"""Sentences, paragraphs and subtitles of a transcript."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from appliance.services.speech import captions


def said(text: str, word_ms: int = 400, pauses: dict[int, int] | None = None) -> dict[str, Any]:
    """A result whose words follow one another; ``pauses`` are milliseconds of silence before the word of that place."""
    words, now = [], 0
    for place, word in enumerate(text.split()):
        now += (pauses or {}).get(place, 0)
        words.append({"text": word, "start_ms": now, "end_ms": now + word_ms, "confidence": 0.5})
        now += word_ms
    return {"text": text, "segments": [], "words": words}


def test_sentences_end_at_their_marks() -> None:
    found = captions.sentences(said('He said: "Stop!" Why? Pi is 3.14 here. And so'))
    assert [each.text for each in found] == ['He said: "Stop!"', "Why?", "Pi is 3.14 here.", "And so"]
    assert [(each.start_ms, each.end_ms) for each in found] == [(0, 1200), (1200, 1600), (1600, 3200), (3200, 4000)]


def test_paragraphs_end_at_pauses_and_after_five_sentences() -> None:
    found = captions.paragraphs(said("One. Two. Three.", pauses={2: 1500}))
    assert [each.text for each in found] == ["One. Two.", "Three."]
    found = captions.paragraphs(said("A. B. C. D. E. F."))
    assert [each.text for each in found] == ["A. B. C. D. E.", "F."]


def test_captions_break_at_their_length_at_pauses_and_after_seven_seconds() -> None:
    assert texts(said("aa bb cc dd"), 5) == ["aa bb", "cc dd"]
    assert texts(said("aa bb cc dd", pauses={1: 1000}), 50) == ["aa", "bb cc dd"]
    assert texts(said("aa bb cc dd", word_ms=3000), 50) == ["aa bb", "cc dd"]
    assert texts(said("unbreakable word"), 5) == ["unbreakable", "word"]


def texts(result: dict[str, Any], max_chars: int) -> list[str]:
    return [each.text for each in captions.captions(result, max_chars)]


def test_subtitles_are_written_as_their_formats_say() -> None:
    result = said("Tom & <Jerry> run. Yes.", word_ms=1_000_000)
    assert captions.srt(result, 80).startswith("1\n00:00:00,000 --> 00:16:40,000\nTom\n\n2\n00:16:40,000 --> ")
    result = said("Tom & <Jerry> run. Yes.", pauses={4: 3_599_000})
    assert captions.srt(result, 80) == (
        "1\n00:00:00,000 --> 00:00:01,600\nTom & <Jerry> run.\n\n2\n01:00:00,600 --> 01:00:01,000\nYes.\n\n"
    )
    assert captions.vtt(result, 80) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.600\nTom &amp; &lt;Jerry&gt; run.\n\n"
        "01:00:00.600 --> 01:00:01.000\nYes.\n\n"
    )


def test_segments_stand_in_for_words() -> None:
    segments = [
        {"text": "Good morning.", "start_ms": 0, "end_ms": 900},
        {"text": "Bye.", "start_ms": 900, "end_ms": 1200},
    ]
    result = {"text": "Good morning. Bye.", "segments": segments, "words": []}
    assert [each.text for each in captions.sentences(result)] == ["Good morning.", "Bye."]
    assert captions.confidence_of(captions.units_of(result)) is None


def test_silence_has_no_subtitles() -> None:
    nothing: dict[str, Any] = {"text": "", "segments": [], "words": []}
    assert (captions.sentences(nothing), captions.paragraphs(nothing)) == ([], [])
    assert (captions.srt(nothing, 80), captions.vtt(nothing, 80)) == ("", "WEBVTT\n\n")


@given(st.lists(st.text("ab.?", min_size=1, max_size=12), max_size=30), st.integers(1, 40))
def test_every_word_is_in_one_place(words: list[str], max_chars: int) -> None:
    result = said(" ".join(words))
    for cut in (captions.sentences(result), captions.paragraphs(result), captions.captions(result, max_chars)):
        assert [piece for passage in cut for piece in passage.units] == result["words"]
    for passage in captions.captions(result, max_chars):
        assert len(passage.text) <= max_chars or len(passage.units) == 1
    assert len(re.findall(" --> ", captions.srt(result, max_chars))) == len(captions.captions(result, max_chars))
