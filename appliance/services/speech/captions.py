"""A completed transcript cut into sentences, paragraphs and subtitles.

All are made of the transcript's units: its words, or its segments if the model gives no words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Unit = dict[str, Any]

PARAGRAPH_PAUSE_MS = 1500
PARAGRAPH_SENTENCES = 5
CAPTION_PAUSE_MS = 1000
CAPTION_MS = 7000
_CLOSING = "\"')]}”’»"


@dataclass(frozen=True)
class Passage:
    """One or more consecutive units of a transcript, each ``{"text", "start_ms", "end_ms", "confidence"?}``."""

    units: list[Unit]

    @property
    def text(self) -> str:
        """The text."""
        return " ".join(unit["text"] for unit in self.units)

    @property
    def start_ms(self) -> int:
        """Its start in milliseconds."""
        return int(self.units[0]["start_ms"])

    @property
    def end_ms(self) -> int:
        """Its end in milliseconds."""
        return int(self.units[-1]["end_ms"])


def units_of(result: dict[str, Any]) -> list[Unit]:
    """Return the words of a result, or its segments if it has no words."""
    return result.get("words") or result.get("segments") or []


def confidence_of(units: Iterable[Unit]) -> float | None:
    """Return the mean confidence of units, 0 to 1, or None if the model gives none."""
    values = [float(unit["confidence"]) for unit in units if unit.get("confidence") is not None]
    return sum(values) / len(values) if values else None


def sentences(result: dict[str, Any]) -> list[Passage]:
    """Cut a transcript after every full stop, question mark and exclamation mark."""
    return list(_cut(units_of(result), lambda held, _: _ends_sentence(held[-1]["text"])))


def paragraphs(result: dict[str, Any]) -> list[Passage]:
    """Join sentences until there is a pause, or five of them."""
    joined: list[list[Passage]] = []
    for sentence in sentences(result):
        last = joined[-1] if joined else []
        if last and len(last) < PARAGRAPH_SENTENCES and sentence.start_ms - last[-1].end_ms < PARAGRAPH_PAUSE_MS:
            last.append(sentence)
        else:
            joined.append([sentence])
    return [Passage([unit for sentence in paragraph for unit in sentence.units]) for paragraph in joined]


def captions(result: dict[str, Any], max_chars: int) -> list[Passage]:
    """Cut a transcript into lines for a screen: up to ``max_chars`` of one sentence, seven seconds, without a pause."""

    def full(held: list[Unit], unit: Unit) -> bool:
        return (
            len(" ".join(item["text"] for item in [*held, unit])) > max_chars
            or unit["start_ms"] - held[-1]["end_ms"] >= CAPTION_PAUSE_MS
            or unit["end_ms"] - held[0]["start_ms"] > CAPTION_MS
            or _ends_sentence(held[-1]["text"])
        )

    return list(_cut(units_of(result), full))


def srt(result: dict[str, Any], max_chars: int) -> str:
    """Return SubRip subtitles."""
    cues = enumerate(captions(result, max_chars), start=1)
    return "".join(f"{n}\n{_time(c.start_ms, ',')} --> {_time(c.end_ms, ',')}\n{c.text}\n\n" for n, c in cues)


def vtt(result: dict[str, Any], max_chars: int) -> str:
    """Return WebVTT subtitles."""
    cues = captions(result, max_chars)
    lines = (f"{_time(c.start_ms, '.')} --> {_time(c.end_ms, '.')}\n{_escaped(c.text)}\n\n" for c in cues)
    return "WEBVTT\n\n" + "".join(lines)


def _cut(units: list[Unit], full: Callable[[list[Unit], Unit], bool]) -> Iterator[Passage]:
    """Yield passages of units; a new one begins at a unit for which ``full(held, unit)``."""
    held: list[Unit] = []
    for unit in units:
        if held and full(held, unit):
            yield Passage(held)
            held = []
        held.append(unit)
    if held:
        yield Passage(held)


def _ends_sentence(text: str) -> bool:
    return text.rstrip(_CLOSING).endswith((".", "?", "!", "…"))


def _time(ms: int, point: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{ms:03}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
