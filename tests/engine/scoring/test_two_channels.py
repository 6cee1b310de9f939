"""A model that asks for two channels gets left and right, and everything else is as with one channel."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.decode.recording import stereo
from appliance.engine.decode.resample import resample
from appliance.engine.decode.wire import BadFrame, parse_samples
from appliance.engine.model_check import compare
from appliance.engine.models.gpu_options import GpuOptions
from appliance.engine.models.session import Session
from appliance.engine.models.store import ModelStore
from appliance.engine.scoring.detector import analyse
from appliance.engine.scoring.events import DetectionConfig, rules_of
from appliance.engine.scoring.kept import KeptScores, ScoreKeeper
from appliance.engine.scoring.scorer import Scorer
from appliance.engine.training.features import Hearer
from appliance.errors import InvalidManifest
from tests.support import toy_models
from tests.support.encoded_files import encode, noise, wav

RATE_HZ = 44_100
LEFT_ONLY, SAME, OPPOSITE = (1.0, 1.2), (2.5, 2.7), (4.2, 4.4)
CONFIG = DetectionConfig()


def sound() -> np.ndarray:
    """A tone in the left channel, then in both, then in both and cancelled in a mono mix: (num_samples, 2) float32."""
    samples = np.zeros((5 * RATE_HZ, 2), np.float32)
    burst = (0.5 * np.sin(2 * np.pi * 500 * np.arange(RATE_HZ // 5) / RATE_HZ)).astype(np.float32)
    for (start, _), gains in ((LEFT_ONLY, (1, 0)), (SAME, (1, 1)), (OPPOSITE, (1, -1))):
        first = round(start * RATE_HZ)
        samples[first : first + len(burst)] = burst[:, None] * gains
    return samples


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    folder = tmp_path_factory.mktemp("store")
    toy_models.sides_model(folder)
    toy_models.frame_model(folder)
    return ModelStore(folder)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(DecodeLimits()) as decoder:
        yield decoder


@pytest.fixture(scope="module")
def scorer(store: ModelStore) -> Iterator[Scorer]:
    with Scorer(Session(store.resolve("sides"), "cpu")) as scorer:
        yield scorer


def spans(content: bytes, decoder: Decoder, scorer: Scorer) -> list[tuple[float, float]]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        found = analyse(file, decoder, scorer, CONFIG).detections
    return [(detection.start_ms / 1000, detection.end_ms / 1000) for detection in found]


@pytest.mark.parametrize("kind", ["wav", "flac", "webm"])
def test_a_difference_of_the_channels_is_found_and_what_they_share_is_not(
    decoder: Decoder, scorer: Scorer, kind: str
) -> None:
    rate_hz = 48_000 if kind == "webm" else RATE_HZ
    expected = np.array([LEFT_ONLY, OPPOSITE]) * RATE_HZ / rate_hz
    assert np.array(spans(encode(kind, sound(), rate_hz), decoder, scorer)) == pytest.approx(expected, abs=0.03)


def test_a_model_of_one_channel_hears_the_mix(decoder: Decoder, store: ModelStore) -> None:
    with Scorer(Session(store.resolve("loud-frames"), "cpu")) as scorer:
        heard = spans(wav(sound(), RATE_HZ), decoder, scorer)
    assert np.array(heard) == pytest.approx(np.array([LEFT_ONLY, SAME]), abs=0.05)


@pytest.mark.parametrize("rate_hz", [8_000, RATE_HZ])
def test_a_mono_recording_has_no_difference(decoder: Decoder, scorer: Scorer, rate_hz: int) -> None:
    assert spans(wav(noise(rate_hz, 2.05, level=0.5), rate_hz), decoder, scorer) == []


def test_kept_scores_give_the_same(decoder: Decoder, scorer: Scorer, tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(wav(sound(), RATE_HZ))
    keeper = ScoreKeeper(rules_of(scorer.session.manifest), io.BytesIO())
    with path.open("rb") as file, tempfile.TemporaryFile() as archive:
        analysis = analyse(file, decoder, scorer, CONFIG, keeper=keeper)
        keeper.write(archive)
        archive.seek(0)
        kept = KeptScores.read(archive)
        assert kept.detections(CONFIG) == (analysis.detections, False)
        low = DetectionConfig(threshold=0.05, merge_window_ms=0, min_duration_ms=0)
        assert kept.detections(low)[0] == analyse(file, decoder, scorer, low).detections


def test_the_way_of_a_gpu_scores_the_same(decoder: Decoder, store: ModelStore, scorer: Scorer) -> None:
    content = wav(sound(), RATE_HZ)
    with Scorer(Session(store.resolve("sides"), "cpu", 4, GpuOptions())) as other:
        assert spans(content, decoder, other) == spans(content, decoder, scorer)


def test_features_can_be_trained_on(decoder: Decoder, store: ModelStore, tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(wav(sound(), RATE_HZ))
    out, hearer = io.BytesIO(), Hearer(store.resolve("sides"), decoder)
    num_features, _, hashes = hearer.hear(lambda: path.open("rb"), out, lambda _: None)
    hearer.close()
    features = np.frombuffer(out.getvalue(), np.float16).reshape(-1, num_features)
    assert (len(features), num_features) == (500, 1)
    assert (features[:, 0] > 0.1).nonzero()[0] == pytest.approx([*range(100, 120), *range(420, 440)], abs=1)
    assert len(hashes)


def test_a_graph_with_another_number_of_channels_is_refused(store: ModelStore, tmp_path: Path) -> None:
    compare(store.resolve("sides"))
    toy_models.sides_model(tmp_path, num_channels=6)
    with pytest.raises(InvalidManifest, match=r"input\.layout: .*6"):
        compare(ModelStore(tmp_path).resolve("sides"))


def test_all_channels_are_in_left_and_right() -> None:
    block = np.arange(12, dtype=np.float32).reshape(2, 6)
    assert stereo(block).tolist() == [[2, 3], [8, 9]]
    assert stereo(block[:, :2]).tolist() == [[0, 1], [6, 7]]
    assert stereo(block[:, :1]).tolist() == [[0, 0], [6, 6]]
    assert stereo(np.array([[np.nan, 0.5]], np.float32)).tolist() == [[0, 0.5]]


def test_a_sample_without_one_of_its_channels_is_refused() -> None:
    assert parse_samples(bytearray(16), 2).shape == (2, 2)
    with pytest.raises(BadFrame):
        parse_samples(bytearray(12), 2)


def test_channels_are_resampled_by_themselves() -> None:
    samples = sound()
    blocks = [samples[start : start + 10_000] for start in range(0, len(samples), 10_000)]
    both = np.concatenate(list(resample(blocks, RATE_HZ, 16_000, 2)))
    for channel in range(2):
        alone = np.concatenate(list(resample([block[:, channel] for block in blocks], RATE_HZ, 16_000)))
        np.testing.assert_allclose(both[:, channel], alone, atol=1e-6)
