"""The Moonshine speech model: an encoder over samples, and a decoder that returns one token after another.

Model: Jeffries et al., "Moonshine: Speech Recognition for Live Transcription and Voice Commands", arXiv:2410.15608.
How the graphs are called: the model's ONNX export (https://huggingface.co/UsefulSensors/moonshine).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from appliance.engine.models.graph import Graph
from appliance.engine.models.speech_manifest import Decoding
from appliance.errors import InvalidManifest, ScoresNotFinite

PAST, PRESENT = "past_key_values.", "present."


@dataclass
class Hypothesis:
    """The tokens of one piece and the probability of each. ``finished`` is False if the token limit cut it short."""

    tokens: list[int] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    finished: bool = False


class Moonshine:
    """An encoder and a decoder. Any number of threads may call ``read`` at once."""

    def __init__(self, encoder: Graph, decoder: Graph, decoding: Decoding) -> None:
        """Raises InvalidManifest if the inputs and outputs of the graphs are not those of this architecture."""
        self._encoder, self._decoder, self._decoding = encoder, decoder, decoding
        if set(encoder.input_shapes) != {"input_values", "attention_mask"}:
            raise InvalidManifest(f"files.encoder: the graph's inputs are {', '.join(encoder.input_shapes)}.")
        self._past_shapes = {name: shape for name, shape in decoder.input_shapes.items() if name.startswith(PAST)}
        plain = {"encoder_attention_mask", "encoder_hidden_states", "input_ids", "use_cache_branch"}
        if set(decoder.input_shapes) != plain | set(self._past_shapes) or "logits" not in decoder.output_shapes:
            raise InvalidManifest(f"files.decoder: the graph's inputs are {', '.join(decoder.input_shapes)}.")
        self._presents = [PRESENT + name.removeprefix(PAST) for name in self._past_shapes]

    @property
    def num_tokens(self) -> int:
        """Size of the vocabulary."""
        return int(self._decoder.output_shapes["logits"][-1])

    def read(self, piece: np.ndarray, sample_rate_hz: int) -> Hypothesis:
        """Transcribe one piece by greedy search: the most probable next token, again and again.

        piece : (num_samples,) float32 at ``sample_rate_hz``. Raises ScoringFailed, ScoresNotFinite.
        """
        mask = np.ones((1, len(piece)), np.int64)
        (hidden,) = self._encoder.run(["last_hidden_state"], {"input_values": piece[None], "attention_mask": mask})
        # The decoder's mask has the length of the samples too.
        inputs = {"encoder_hidden_states": hidden, "encoder_attention_mask": mask} | self._empty_past()
        limit = self._decoding.max_tokens_per_second * len(piece) / sample_rate_hz
        hypothesis = Hypothesis()
        token = self._decoding.start_token
        for step in range(max(self._decoding.min_token_limit, int(limit))):
            inputs["input_ids"] = np.array([[token]], np.int64)
            inputs["use_cache_branch"] = np.array([step > 0])
            logits, *presents = self._decoder.run(["logits", *self._presents], inputs)
            token, probability = _most_probable(logits[0, -1])
            if token == self._decoding.end_token:
                hypothesis.finished = True
                break
            hypothesis.tokens.append(token)
            hypothesis.probabilities.append(probability)
            for name, present in zip(self._past_shapes, presents, strict=True):
                if step == 0 or ".decoder." in name:  # later steps return the encoder's cache empty
                    inputs[name] = present
        return hypothesis

    def _empty_past(self) -> dict[str, np.ndarray]:
        return {
            name: np.zeros((1, int(shape[1]), 0, int(shape[3])), np.float32)
            for name, shape in self._past_shapes.items()
        }


def _most_probable(logits: np.ndarray) -> tuple[int, float]:
    """Return the token with the highest of (num_tokens,) logits, and its probability. Raises ScoresNotFinite."""
    token = int(logits.argmax())
    probability = 1.0 / float(np.exp(logits - logits[token]).sum())
    if not 0.0 < probability <= 1.0:
        raise ScoresNotFinite("The speech model's decoder returned numbers that are not finite.")
    return token, probability
