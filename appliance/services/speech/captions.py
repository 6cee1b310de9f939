"""A finished transcript cut into sentences, paragraphs and subtitles.

All are made of the transcript's pieces: its words, or its segments where the model gives no words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Piece = dict[str, Any]

PARAGRAPH_PAUSE_MS = 1500
PARAGRAPH_SENTENCES = 5
CAPTION_PAUSE_MS = 1000
CAPTION_MS = 7000
_CLOSING = "\"')]}”’»"


@dataclass(frozen=True)
class Passage:
    """Consecutive pieces of a transcript: ``{"text", "start_ms", "end_ms", "confidence"?}`` each, at least one."""

    pieces: list[Piece]

    @property
    def text(self) -> str:
        """What is said."""
        return " ".join(piece["text"] for piece in self.pieces)

    @property
    def start_ms(self) -> int:
        """When it begins."""
        return int(self.pieces[0]["start_ms"])

    @property
    def end_ms(self) -> int:
        """When it ends."""
        return int(self.pieces[-1]["end_ms"])


def pieces_of(result: dict[str, Any]) -> list[Piece]:
    """The words of a result, or its segments where there are none."""
    return result.get("words") or result.get("segments") or []


def confidence_of(pieces: Iterable[Piece]) -> float | None:
    """Mean confidence of pieces, 0 to 1; None where the model gives none."""
    known = [float(piece["confidence"]) for piece in pieces if piece.get("confidence") is not None]
    return sum(known) / len(known) if known else None


def sentences(result: dict[str, Any]) -> list[Passage]:
    """The transcript cut after every full stop, question mark and exclamation mark."""
    return list(_cut(pieces_of(result), lambda held, _: _ends_sentence(held[-1]["text"])))


def paragraphs(result: dict[str, Any]) -> list[Passage]:
    """Sentences joined until there is a pause, or five of them."""
    joined: list[list[Passage]] = []
    for sentence in sentences(result):
        last = joined[-1] if joined else []
        if last and len(last) < PARAGRAPH_SENTENCES and sentence.start_ms - last[-1].end_ms < PARAGRAPH_PAUSE_MS:
            last.append(sentence)
        else:
            joined.append([sentence])
    return [Passage([piece for sentence in each for piece in sentence.pieces]) for each in joined]


def captions(result: dict[str, Any], max_chars: int) -> list[Passage]:
    """Pieces that fit on the screen together: up to ``max_chars`` of one sentence, seven seconds, without a pause."""

    def full(held: list[Piece], piece: Piece) -> bool:
        return (
            len(" ".join(each["text"] for each in [*held, piece])) > max_chars
            or piece["start_ms"] - held[-1]["end_ms"] >= CAPTION_PAUSE_MS
            or piece["end_ms"] - held[0]["start_ms"] > CAPTION_MS
            or _ends_sentence(held[-1]["text"])
        )

    return list(_cut(pieces_of(result), full))


def srt(result: dict[str, Any], max_chars: int) -> str:
    """Subtitles in SubRip's form."""
    cues = enumerate(captions(result, max_chars), start=1)
    return "".join(f"{n}\n{_time(c.start_ms, ',')} --> {_time(c.end_ms, ',')}\n{c.text}\n\n" for n, c in cues)


def vtt(result: dict[str, Any], max_chars: int) -> str:
    """Subtitles in WebVTT's form."""
    cues = captions(result, max_chars)
    written = (f"{_time(c.start_ms, '.')} --> {_time(c.end_ms, '.')}\n{_escaped(c.text)}\n\n" for c in cues)
    return "WEBVTT\n\n" + "".join(written)


def _cut(pieces: list[Piece], full: Callable[[list[Piece], Piece], bool]) -> Iterator[Passage]:
    """Passages of pieces; a new one begins where ``full(held, piece)``."""
    held: list[Piece] = []
    for piece in pieces:
        if held and full(held, piece):
            yield Passage(held)
            held = []
        held.append(piece)
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
