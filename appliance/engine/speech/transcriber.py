"""Speech to text as one step, from a recording to its text, its segments and its words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import BinaryIO, TypeVar

import numpy as np

from appliance import metrics
from appliance.engine.decode.decoder import Decoder
from appliance.engine.models.graph import Graph
from appliance.engine.models.store import MANIFEST, StoredModel
from appliance.engine.speech.moonshine import Moonshine
from appliance.engine.speech.pieces import Piece, PieceCutter
from appliance.engine.speech.tokens import SpokenWord, Vocabulary
from appliance.engine.speech.voice_activity import FRAME_SAMPLES, VoiceActivity, VoiceStream
from appliance.errors import InvalidManifest, ScoresNotFinite, ScoringFailed

T = TypeVar("T", "Word", "Segment")

SENTENCE_END = re.compile(r"[.?!][\"')]*$")


@dataclass(frozen=True)
class Word:
    """A word with its punctuation. Its times, in milliseconds of the recording, are estimated within its piece."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True)
class Segment:
    """A sentence, or the part of it that is in one piece of speech. Times in milliseconds of the recording."""

    text: str
    start_ms: int
    end_ms: int


@dataclass
class Transcription:
    """The speech of a recording of ``duration_ms`` milliseconds. Empty if nobody spoke."""

    duration_ms: int = 0
    segments: list[Segment] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All words, joined by spaces."""
        return " ".join(word.text for word in self.words)


class Transcriber:
    """A loaded model for transcription. Any number of threads may call ``read`` at once."""

    def __init__(self, model: StoredModel) -> None:
        """Load the model on the CPU. Raises InvalidManifest if its files do not fit its manifest."""
        self.manifest = model.speech
        files = self.manifest.files
        encoder, decoder = Graph(model, files.encoder.name), Graph(model, files.decoder.name)
        self._reader = Moonshine(encoder, decoder, self.manifest.decoding)
        self._vocabulary = Vocabulary(model.read(files.tokens.name))
        self._activity = VoiceActivity(Graph(model, files.voice_activity.name, num_threads=1))
        if len(self._vocabulary) != self._reader.num_tokens:
            raise InvalidManifest(
                f"files.tokens: the file has {len(self._vocabulary)} tokens, the decoder {self._reader.num_tokens}."
            )

    def read(self, blocks: Iterable[np.ndarray], checkpoint: Callable[[float], None] = lambda _: None) -> Transcription:
        """Transcribe a recording. The result has no ``duration_ms``.

        blocks : mono (num_samples,) float32 at the model's rate. ``checkpoint`` is called before each block with the
        seconds read so far, and may raise to stop. Raises ScoringFailed, ScoresNotFinite, and what
        ``blocks`` and ``checkpoint`` raise.
        """
        result = Transcription()
        source = self.manifest.input
        cutter = PieceCutter(self._activity, source.sample_rate_hz, source.longest_piece_seconds)
        for piece in cutter.cut(self._with_checkpoints(blocks, checkpoint)):
            with metrics.stage("graph"):
                hypothesis = self._reader.read(piece.samples, source.sample_rate_hz)
            words_of_piece = self._vocabulary.words(hypothesis.tokens, hypothesis.probabilities)
            words = place_words(words_of_piece, piece, source.sample_rate_hz)
            result.words += words
            result.segments += sentences(words)
        return result

    def check(self) -> None:
        """Run every graph on silence, at most a second of it. Raises ScoringFailed, ScoresNotFinite."""
        rate = self.manifest.input.sample_rate_hz
        VoiceStream(self._activity).probabilities(np.zeros((2, FRAME_SAMPLES), np.float32))
        self._reader.read(np.zeros(rate, np.float32), rate)

    def _with_checkpoints(
        self, blocks: Iterable[np.ndarray], checkpoint: Callable[[float], None]
    ) -> Iterable[np.ndarray]:
        num_samples = 0
        for block in blocks:
            checkpoint(num_samples / self.manifest.input.sample_rate_hz)
            num_samples += len(block)
            yield block


def transcribe(
    file: BinaryIO, decoder: Decoder, transcriber: Transcriber, checkpoint: Callable[[float], None] = lambda _: None
) -> Transcription:
    """Decode a recording and transcribe it.

    ``checkpoint`` is called before each block with the seconds read so far, and may raise to stop.
    Raises AudioError if the recording cannot be decoded (DecoderDied is one), ScoringFailed, ScoresNotFinite.
    """
    with decoder.decode(file, transcriber.manifest.input.sample_rate_hz) as audio:
        result = transcriber.read(audio, checkpoint)
    result.duration_ms = audio.duration_ms
    # The last frame of speech may reach past the last sample.
    result.words = [_cut_off(word, result.duration_ms) for word in result.words]
    result.segments = [_cut_off(segment, result.duration_ms) for segment in result.segments]
    return result


def _cut_off(part: T, duration_ms: int) -> T:
    start_ms = min(part.start_ms, duration_ms - 1)
    return replace(part, start_ms=start_ms, end_ms=min(part.end_ms, duration_ms))


def check_speech(model: StoredModel) -> None:
    """Load a model for transcription and run it on silence. Raises InvalidManifest with the field in its message."""
    transcriber = Transcriber(model)
    try:
        transcriber.check()
    except (ScoringFailed, ScoresNotFinite) as error:
        raise InvalidManifest(f"{model.folder / MANIFEST}: files: {error}") from error


def place_words(words: list[SpokenWord], piece: Piece, sample_rate_hz: int) -> list[Word]:
    """Spread words over the voiced time of a piece, each in proportion to its number of letters.

    The times are an estimate, since the model returns none. Pauses are left out, so that a long one adds no error.
    """
    ends = np.cumsum([len(word.text) + 1 for word in words])
    if not len(ends):
        return []
    frame_ms = 1000.0 * FRAME_SAMPLES / sample_rate_hz
    starts_ms = 1000.0 * piece.voiced_at / sample_rate_hz
    bounds = np.concatenate([[0], ends]) * (len(starts_ms) / ends[-1])  # in voiced frames
    last = len(starts_ms) - 1
    timed: list[Word] = []
    for word, low, high in zip(words, bounds[:-1], bounds[1:], strict=True):
        first = min(int(low), last)
        final = min(int(np.ceil(high)) - 1, last)
        start_ms = round(starts_ms[first] + frame_ms * (low - first))
        end_ms = round(starts_ms[final] + frame_ms * (high - final))
        timed.append(Word(word.text, start_ms, max(end_ms, start_ms + 1), round(word.confidence, 4)))
    return timed


def sentences(words: list[Word]) -> list[Segment]:
    """Return the sentences of a piece's words. The last one may lack its end."""
    segments: list[Segment] = []
    start = 0
    for end, word in enumerate(words, 1):
        if SENTENCE_END.search(word.text) or end == len(words):
            text = " ".join(part.text for part in words[start:end])
            segments.append(Segment(text, words[start].start_ms, word.end_ms))
            start = end
    return segments
