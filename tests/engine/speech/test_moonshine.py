"""How tokens are drawn, with stand-ins for the graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from appliance.engine.models.speech_manifest import Decoding
from appliance.engine.speech.moonshine import Moonshine
from appliance.errors import InvalidManifest, ScoringFailed

DECODING = Decoding(start_token=1, end_token=2, max_tokens_per_second=2.0, min_token_limit=4)
NUM_TOKENS = 10
PAST = "past_key_values.0."


class Encoder:
    input_shapes: dict[str, Any] = {"input_values": ["b", "n"], "attention_mask": ["b", "n"]}  # noqa: RUF012

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert inputs["input_values"].shape == inputs["attention_mask"].shape
        return [np.zeros((1, inputs["input_values"].shape[1] // 384, 288), np.float32)]


class Decoder:
    """Says what it is told to, and remembers what it was asked; the last token again and again."""

    def __init__(self, tokens: list[int], logit: float = 3.0) -> None:
        caches = {f"{PAST}{part}.key": ["b", 8, "n", 36] for part in ("decoder", "encoder")}
        plain = ("encoder_attention_mask", "encoder_hidden_states", "input_ids", "use_cache_branch")
        self.input_shapes: dict[str, Any] = {name: [] for name in plain} | caches
        self.output_shapes: dict[str, Any] = {"logits": ["b", "n", NUM_TOKENS]}
        self.tokens, self.logit, self.asked = tokens, logit, []

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        step = len(self.asked)
        self.asked.append(dict(inputs))
        logits = np.zeros((1, 1, NUM_TOKENS), np.float32)
        logits[0, 0, self.tokens[min(step, len(self.tokens) - 1)]] = self.logit
        assert outputs == ["logits", "present.0.decoder.key", "present.0.encoder.key"]
        later = np.zeros((1, 8, 0, 36), np.float32)
        first = np.ones((1, 8, 7, 36), np.float32)
        return [logits, np.zeros((1, 8, step + 1, 36), np.float32), later if step else first]


def reader(decoder: Decoder) -> Moonshine:
    graphs: Any = Encoder(), decoder
    return Moonshine(*graphs, DECODING)


def piece(seconds: float) -> np.ndarray:
    return np.zeros(round(16_000 * seconds), np.float32)


def test_tokens_are_drawn_until_the_end_with_their_probabilities() -> None:
    decoder = Decoder([5, 7, 2])
    found = reader(decoder).read(piece(5), 16_000)
    assert (found.tokens, found.finished) == ([5, 7], True)
    expected = np.exp(3) / (np.exp(3) + NUM_TOKENS - 1)
    assert found.probabilities == pytest.approx([expected] * 2)
    assert [int(asked["input_ids"][0, 0]) for asked in decoder.asked] == [1, 5, 7]
    assert [bool(asked["use_cache_branch"][0]) for asked in decoder.asked] == [False, True, True]


def test_the_masks_count_samples_and_the_first_steps_encoder_cache_stays() -> None:
    decoder = Decoder([5, 7, 2])
    reader(decoder).read(piece(5), 16_000)
    assert {asked["encoder_attention_mask"].shape for asked in decoder.asked} == {(1, 80_000)}
    assert [asked[f"{PAST}encoder.key"].shape[2] for asked in decoder.asked] == [0, 7, 7]
    assert [asked[f"{PAST}decoder.key"].shape[2] for asked in decoder.asked] == [0, 1, 2]


@pytest.mark.parametrize(("seconds", "limit"), [(0.5, 4), (10, 20)])
def test_a_loop_ends_at_the_limit_of_its_duration(seconds: float, limit: int) -> None:
    found = reader(Decoder([5])).read(piece(seconds), 16_000)
    assert (found.tokens, found.finished) == ([5] * limit, False)


def test_numbers_that_are_not_finite_fail() -> None:
    with pytest.raises(ScoringFailed, match="not finite"):
        reader(Decoder([5], logit=float("nan"))).read(piece(1), 16_000)


def test_a_decoder_of_another_kind_is_refused() -> None:
    decoder = Decoder([5])
    decoder.input_shapes["temperature"] = []
    with pytest.raises(InvalidManifest, match=r"files\.decoder.*temperature"):
        reader(decoder)
