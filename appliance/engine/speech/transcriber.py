"""Speech to text as one step: a recording in; its text, its segments and its words out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import BinaryIO, TypeVar

import numpy as np

from appliance.engine.decode.decoder import Decoder
from appliance.engine.models.session import Graph
from appliance.engine.models.store import MANIFEST, StoredModel
from appliance.engine.speech.moonshine import Moonshine
from appliance.engine.speech.pieces import Piece, PieceCutter
from appliance.engine.speech.tokens import SpokenWord, Vocabulary
from appliance.engine.speech.voice_activity import FRAME_SAMPLES, VoiceActivity, VoiceStream
from appliance.errors import InvalidManifest, ScoringFailed

T = TypeVar("T", "Word", "Segment")

SENTENCE_END = re.compile(r"[.?!][\"')]*$")


@dataclass(frozen=True)
class Word:
    """A word with its punctuation; its times are estimated within its piece, in milliseconds of the recording."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True)
class Segment:
    """A sentence, or what a piece of speech has of it."""

    text: str
    start_ms: int
    end_ms: int


@dataclass
class Transcription:
    """What was said in a recording of ``duration_ms`` milliseconds; nothing where nobody spoke."""

    duration_ms: int = 0
    segments: list[Segment] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(word.text for word in self.words)


class Transcriber:
    """A loaded model for transcription; any number of threads call ``read`` at once."""

    def __init__(self, model: StoredModel) -> None:
        """Load it, on the CPU. Raises InvalidManifest where its files are not what the manifest says."""
        self.manifest = model.speech
        files = self.manifest.files
        encoder, decoder = Graph(model.folder / files.encoder.name), Graph(model.folder / files.decoder.name)
        self._reader = Moonshine(encoder, decoder, self.manifest.decoding)
        self._vocabulary = Vocabulary.read(model.folder / files.tokens.name)
        self._activity = VoiceActivity(model.folder / files.voice_activity.name)
        if len(self._vocabulary) != self._reader.num_tokens:
            raise InvalidManifest(
                f"files.tokens: {len(self._vocabulary)} tokens, the decoder has {self._reader.num_tokens}."
            )

    def read(self, blocks: Iterable[np.ndarray], checkpoint: Callable[[float], None] = lambda _: None) -> Transcription:
        """Write down a recording given as mono blocks (num_samples,) float32 at the model's rate.

        ``checkpoint`` is called again and again with the seconds that were read, and may raise to stop. Raises
        ScoringFailed, and what ``blocks`` and ``checkpoint`` raise.
        """
        found = Transcription()
        source = self.manifest.input
        cutter = PieceCutter(self._activity, source.sample_rate_hz, source.longest_piece_seconds)
        for piece in cutter.cut(self._watched(blocks, checkpoint)):
            tokens = self._reader.read(piece.samples, source.sample_rate_hz)
            spoken = self._vocabulary.words(tokens.tokens, tokens.probabilities)
            words = place_words(spoken, piece, source.sample_rate_hz)
            found.words += words
            found.segments += sentences(words)
        return found

    def check(self) -> None:
        """Put a second of silence through every graph. Raises ScoringFailed."""
        rate = self.manifest.input.sample_rate_hz
        VoiceStream(self._activity).probabilities(np.zeros((2, FRAME_SAMPLES), np.float32))
        self._reader.read(np.zeros(rate, np.float32), rate)

    def _watched(self, blocks: Iterable[np.ndarray], checkpoint: Callable[[float], None]) -> Iterable[np.ndarray]:
        num_samples = 0
        for block in blocks:
            checkpoint(num_samples / self.manifest.input.sample_rate_hz)
            num_samples += len(block)
            yield block


def transcribe(
    file: BinaryIO, decoder: Decoder, transcriber: Transcriber, checkpoint: Callable[[float], None] = lambda _: None
) -> Transcription:
    """Decode and write down.

    ``checkpoint`` is called again and again with the seconds that were read, and may raise to stop.
    Raises AudioError for a recording that cannot be decoded, DecoderDied, ScoringFailed.
    """
    with decoder.decode(file, transcriber.manifest.input.sample_rate_hz) as audio:
        found = transcriber.read(audio, checkpoint)
    found.duration_ms = audio.duration_ms
    # The last frame of speech may reach past the last sample.
    found.words = [_within(word, found.duration_ms) for word in found.words]
    found.segments = [_within(segment, found.duration_ms) for segment in found.segments]
    return found


def _within(found: T, duration_ms: int) -> T:
    start_ms = min(found.start_ms, duration_ms - 1)
    return replace(found, start_ms=start_ms, end_ms=min(found.end_ms, duration_ms))


def check_speech(model: StoredModel) -> None:
    """Load a model for transcription and have it read silence. Raises InvalidManifest naming the field."""
    transcriber = Transcriber(model)
    try:
        transcriber.check()
    except ScoringFailed as error:
        raise InvalidManifest(f"{model.folder / MANIFEST}: files: {error}") from error


def place_words(spoken: list[SpokenWord], piece: Piece, sample_rate_hz: int) -> list[Word]:
    """Spread words over the time in which somebody spoke, each by the number of its letters.

    An estimate: the model tells no times. Pauses are left out, so that it does not drift over a long one.
    """
    ends = np.cumsum([len(word.text) + 1 for word in spoken])
    if not len(ends):
        return []
    frame_ms = 1000.0 * FRAME_SAMPLES / sample_rate_hz
    starts_ms = 1000.0 * piece.voiced_at / sample_rate_hz
    bounds = np.concatenate([[0], ends]) * (len(starts_ms) / ends[-1])  # in voiced frames
    last = len(starts_ms) - 1
    placed = []
    for word, low, high in zip(spoken, bounds[:-1], bounds[1:], strict=True):
        first = min(int(low), last)
        final = min(int(np.ceil(high)) - 1, last)
        start_ms = round(starts_ms[first] + frame_ms * (low - first))
        end_ms = round(starts_ms[final] + frame_ms * (high - final))
        placed.append(Word(word.text, start_ms, max(end_ms, start_ms + 1), round(word.confidence, 4)))
    return placed


def sentences(words: list[Word]) -> list[Segment]:
    """The sentences of a piece's words."""
    found: list[Segment] = []
    start = 0
    for end, word in enumerate(words, 1):
        if SENTENCE_END.search(word.text) or end == len(words):
            text = " ".join(each.text for each in words[start:end])
            found.append(Segment(text, words[start].start_ms, word.end_ms))
            start = end
    return found
