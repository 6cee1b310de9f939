"""How the Moonshine graphs are called and tokens are chosen, with stand-ins for the graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from appliance.engine.models.speech_manifest import Decoding
from appliance.engine.speech.moonshine import Moonshine
from appliance.errors import InvalidManifest, ScoresNotFinite

DECODING = Decoding(start_token=1, end_token=2, max_tokens_per_second=2.0, min_token_limit=4)
NUM_TOKENS = 10
PAST = "past_key_values.0."


class Encoder:
    input_shapes: dict[str, Any] = {"input_values": ["b", "n"], "attention_mask": ["b", "n"]}  # noqa: RUF012

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert inputs["input_values"].shape == inputs["attention_mask"].shape
        return [np.zeros((1, inputs["input_values"].shape[1] // 384, 288), np.float32)]


class Decoder:
    """Returns the tokens it was made with, the last one again and again, and records the inputs of each call."""

    def __init__(self, tokens: list[int], logit: float = 3.0) -> None:
        caches = {f"{PAST}{part}.key": ["b", 8, "n", 36] for part in ("decoder", "encoder")}
        plain = ("encoder_attention_mask", "encoder_hidden_states", "input_ids", "use_cache_branch")
        self.input_shapes: dict[str, Any] = {name: [] for name in plain} | caches
        self.output_shapes: dict[str, Any] = {"logits": ["b", "n", NUM_TOKENS]}
        self.tokens, self.logit = tokens, logit
        self.calls: list[dict[str, np.ndarray]] = []

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        step = len(self.calls)
        self.calls.append(dict(inputs))
        logits = np.zeros((1, 1, NUM_TOKENS), np.float32)
        logits[0, 0, self.tokens[min(step, len(self.tokens) - 1)]] = self.logit
        assert outputs == ["logits", "present.0.decoder.key", "present.0.encoder.key"]
        later = np.zeros((1, 8, 0, 36), np.float32)
        first = np.ones((1, 8, 7, 36), np.float32)
        return [logits, np.zeros((1, 8, step + 1, 36), np.float32), later if step else first]


def reader(decoder: Decoder) -> Moonshine:
    encoder: Any = Encoder()
    graph: Any = decoder
    return Moonshine(encoder, graph, DECODING)


def piece(seconds: float) -> np.ndarray:
    return np.zeros(round(16_000 * seconds), np.float32)


def test_tokens_are_chosen_until_the_end_token_with_their_probabilities() -> None:
    decoder = Decoder([5, 7, 2])
    hypothesis = reader(decoder).read(piece(5), 16_000)
    assert (hypothesis.tokens, hypothesis.finished) == ([5, 7], True)
    expected = np.exp(3) / (np.exp(3) + NUM_TOKENS - 1)
    assert hypothesis.probabilities == pytest.approx([expected] * 2)
    assert [int(inputs["input_ids"][0, 0]) for inputs in decoder.calls] == [1, 5, 7]
    assert [bool(inputs["use_cache_branch"][0]) for inputs in decoder.calls] == [False, True, True]


def test_masks_have_the_length_of_the_samples_and_the_encoder_cache_of_the_first_step_stays() -> None:
    decoder = Decoder([5, 7, 2])
    reader(decoder).read(piece(5), 16_000)
    assert {inputs["encoder_attention_mask"].shape for inputs in decoder.calls} == {(1, 80_000)}
    assert [inputs[f"{PAST}encoder.key"].shape[2] for inputs in decoder.calls] == [0, 7, 7]
    assert [inputs[f"{PAST}decoder.key"].shape[2] for inputs in decoder.calls] == [0, 1, 2]


@pytest.mark.parametrize(("seconds", "limit"), [(0.5, 4), (10, 20)])
def test_endless_repetition_stops_at_the_token_limit_for_the_duration(seconds: float, limit: int) -> None:
    hypothesis = reader(Decoder([5])).read(piece(seconds), 16_000)
    assert (hypothesis.tokens, hypothesis.finished) == ([5] * limit, False)


def test_logits_that_are_not_finite_fail() -> None:
    with pytest.raises(ScoresNotFinite, match="not finite"):
        reader(Decoder([5], logit=float("nan"))).read(piece(1), 16_000)


def test_a_decoder_of_another_architecture_is_refused() -> None:
    decoder = Decoder([5])
    decoder.input_shapes["temperature"] = []
    with pytest.raises(InvalidManifest, match=r"files\.decoder.*temperature"):
        reader(decoder)
