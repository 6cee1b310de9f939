"""Where words and short phrases occur in a transcript."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from appliance.errors import InvalidRequest
from appliance.services.speech.captions import Unit

MAX_PHRASE_WORDS = 5
_PUNCTUATION = ".,;:!?\"'()[]{}…“”‘’«»-–—"


@dataclass(frozen=True)
class Match:
    """A phrase as the client wrote it, and the words of the transcript that it is, each time it occurs."""

    text: str
    places: list[list[Unit]]
    indexes: list[int]  # of the first word, each time


def search(words: list[Unit], phrases: Iterable[str]) -> list[Match]:
    """Find phrases of up to five words, whatever their case and punctuation. A phrase that does not occur is left out.

    Raises InvalidRequest for a longer phrase, and if there is none.
    """
    wanted = {phrase.strip(): _parts(phrase) for phrase in phrases if _parts(phrase)}
    if not wanted:
        raise InvalidRequest("words: name one or more words, separated by commas.")
    texts = [_plain(word["text"]) for word in words]
    matches = []
    for phrase, parts in wanted.items():
        if len(parts) > MAX_PHRASE_WORDS:
            raise InvalidRequest(f"words: a phrase may have up to {MAX_PHRASE_WORDS} words.")
        indexes = [at for at in range(len(texts) - len(parts) + 1) if texts[at : at + len(parts)] == parts]
        if indexes:
            matches.append(Match(phrase, [words[at : at + len(parts)] for at in indexes], indexes))
    return matches


def _parts(phrase: str) -> list[str]:
    return [plain for part in phrase.split() if (plain := _plain(part))]


def _plain(text: str) -> str:
    return text.strip(_PUNCTUATION).lower().replace("’", "'")
