"""The real model on real speech."""

from __future__ import annotations

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from appliance import ROOT
from appliance.engine.decode.decoder import Decoder
from appliance.engine.models.session import Session
from appliance.engine.models.store import ModelStore, check_checksum
from appliance.engine.registration import CheckLimits, add_model, check_model
from appliance.engine.speech.transcriber import Transcriber, transcribe
from appliance.errors import InvalidManifest, LeaseLost, ModelNotFound
from tests.support.speech_sample import SAMPLE, SAMPLE_MS, SAMPLE_TEXT, needs_model, words_of, wrong_words

pytestmark = needs_model
FOLDER = ROOT / "model_store" / "moonshine-tiny-en" / "0.0.59"


@pytest.fixture(scope="module")
def transcriber() -> Transcriber:
    return Transcriber(ModelStore(ROOT / "model_store").resolve("moonshine-tiny-en"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the model that a test may damage."""
    return Path(shutil.copytree(FOLDER, tmp_path / "copy"))


def edit(folder: Path, old: str, new: str) -> None:
    manifest = folder / "manifest.toml"
    text = manifest.read_text()
    assert text.count(old) == 1, old
    manifest.write_text(text.replace(old, new))


def test_the_sample_is_transcribed_with_at_most_two_wrong_words(transcriber: Transcriber, decoder: Decoder) -> None:
    with SAMPLE.open("rb") as file:
        result = transcribe(file, decoder, transcriber)
    assert result.duration_ms == SAMPLE_MS
    assert wrong_words(result.text) <= 2, result.text
    assert " ".join(segment.text for segment in result.segments) == result.text
    assert " ".join(word.text for word in result.words) == result.text
    for parts in (result.words, result.segments):
        times = [(part.start_ms, part.end_ms) for part in parts]
        assert times == sorted(times)
        assert all(0 <= start < end <= SAMPLE_MS for start, end in times)
    assert all(0 < word.confidence <= 1 for word in result.words)
    # Three seconds of silence begin at 8,969 ms, and the recorded prompts have a little silence around them too.
    first, second = (s for s in result.segments if words_of(s.text)[-1] in ("received", "busy"))
    assert first.end_ms == pytest.approx(8_900, abs=250)
    assert second.start_ms == pytest.approx(12_000, abs=250)


def test_silence_and_noise_give_no_text(transcriber: Transcriber, decoder: Decoder) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(20 * 16_000).astype(np.float32)
    for samples in (np.zeros(48_000, np.float32), noise):
        with tempfile.TemporaryFile() as file:
            soundfile.write(file, samples, 16_000, format="WAV")
            file.flush()
            result = transcribe(file, decoder, transcriber)
        assert (result.text, result.segments, result.words) == ("", [], [])
        assert result.duration_ms == len(samples) / 16


def test_the_times_of_a_long_recording_go_on_over_its_pieces(transcriber: Transcriber) -> None:
    samples, rate = soundfile.read(SAMPLE, dtype="float32")
    once = np.repeat(samples, 16_000 // rate)
    seen: list[float] = []
    blocks = [block for _ in range(4) for block in np.array_split(once, 20)]
    result = transcriber.read(blocks, seen.append)
    assert wrong_words(result.text, SAMPLE_TEXT * 4) <= 8, result.text
    assert result.words[-1].end_ms == pytest.approx(4 * SAMPLE_MS, abs=500)
    assert seen == sorted(seen)
    assert len(seen) == len(blocks)
    assert seen[-1] == pytest.approx(4 * SAMPLE_MS / 1000, abs=2)


def test_a_checkpoint_may_stop_a_transcription(transcriber: Transcriber) -> None:
    def stop(seconds: float) -> None:
        if seconds > 3:
            raise LeaseLost("stop")

    with pytest.raises(LeaseLost):
        transcriber.read([np.zeros(16_000, np.float32)] * 10, stop)


def test_the_shipped_model_passes_its_checks_and_is_added_with_all_its_files(copy: Path, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    added = add_model(store, copy, CheckLimits())
    assert added.manifest.id == "moonshine-tiny-en@0.0.59"
    assert store.models() == [added]
    check_model(added, CheckLimits())


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('language = "en"', 'language = "English"', "language"),
        ('language = "en"', 'language = "en"\nlabels = []', "labels"),
        ("sample_rate_hz = 16000", "sample_rate_hz = 8000", "input.sample_rate_hz"),
        ('architecture = "moonshine"', 'architecture = "whisper"', "architecture"),
        ("[decoding]", "[decoding]\nbeams = 4", "decoding.beams"),
        ('name = "tokenizer.bin"', 'name = "../tokenizer.bin"', "files.tokens.name"),
        ('name = "tokenizer.bin"', 'name = "other.bin"', "other.bin is missing"),
        ('sha256 = "94e9', 'sha256 = "0000', "files.encoder.sha256"),
    ],
)
def test_every_fault_of_the_manifest_is_reported_with_its_field(
    copy: Path, tmp_path: Path, old: str, new: str, field: str
) -> None:
    edit(copy, old, new)
    with pytest.raises(InvalidManifest) as refused:
        add_model(ModelStore(tmp_path / "store"), copy, CheckLimits())
    assert field in str(refused.value)


def test_swapped_graphs_are_refused(copy: Path, tmp_path: Path) -> None:
    for old, new in (("encoder]", "first]"), ("decoder]", "encoder]"), ("first]", "decoder]")):
        edit(copy, old, new)
    with pytest.raises(InvalidManifest, match=r"files\.encoder"):
        add_model(ModelStore(tmp_path / "store"), copy, CheckLimits())


@pytest.mark.parametrize("name", ["encoder_model.ort", "tokenizer.bin", "silero_vad_16k_sequence.onnx"])
def test_a_changed_or_missing_file_is_reported(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "moonshine-tiny-en" / "0.0.59"
    shutil.copytree(FOLDER, folder)
    store = ModelStore(tmp_path)
    model = store.resolve("moonshine-tiny-en")
    (folder / name).write_bytes((folder / name).read_bytes()[:-1] + b"?")
    with pytest.raises(InvalidManifest, match=name):
        check_checksum(model)
    (folder / name).unlink()
    assert store.models() == []
    assert [name in fault and "install-speech" in fault for fault in store.faults()] == [True]
    with pytest.raises(ModelNotFound, match="cannot be used"):
        store.resolve("moonshine-tiny-en")


def test_a_model_for_another_task_is_refused(transcriber: Transcriber, models: Path) -> None:
    with pytest.raises(InvalidManifest, match="scores no windows"):
        Session(ModelStore(ROOT / "model_store").resolve("moonshine-tiny-en"), "cpu")
    with pytest.raises(InvalidManifest, match="not for transcription"):
        Transcriber(ModelStore(models).resolve("loud-frames"))


def test_threads_share_a_model(transcriber: Transcriber, decoder: Decoder) -> None:
    samples, rate = soundfile.read(SAMPLE, dtype="float32")
    blocks = np.array_split(np.repeat(samples, 16_000 // rate), 20)
    with ThreadPoolExecutor(3) as pool:
        texts = list(pool.map(lambda _: transcriber.read(blocks).text, range(3)))
    assert len(set(texts)) == 1
    assert texts[0]
