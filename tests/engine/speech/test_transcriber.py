"""The real model on real speech."""

from __future__ import annotations

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from appliance.config import ROOT
from appliance.engine.decode.decoder import Decoder
from appliance.engine.models.session import Session
from appliance.engine.models.store import ModelStore, check_checksum
from appliance.engine.registration import add_model, check_model
from appliance.engine.speech.transcriber import Transcriber, transcribe
from appliance.errors import InvalidManifest, LeaseLost, ModelNotFound
from tests.support.speech import SAMPLE, SAMPLE_MS, SAMPLE_TEXT, needs_model, spoken, wrong_words

pytestmark = needs_model
FOLDER = ROOT / "model_store" / "moonshine-tiny-en" / "0.0.59"


@pytest.fixture(scope="module")
def transcriber() -> Transcriber:
    return Transcriber(ModelStore(ROOT / "model_store").resolve("moonshine-tiny-en"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The model, to be spoilt."""
    return Path(shutil.copytree(FOLDER, tmp_path / "copy"))


def edit(folder: Path, old: str, new: str) -> None:
    manifest = folder / "manifest.toml"
    text = manifest.read_text()
    assert text.count(old) == 1, old
    manifest.write_text(text.replace(old, new))


def test_the_sample_is_right_to_within_two_words(transcriber: Transcriber, decoder: Decoder) -> None:
    with SAMPLE.open("rb") as file:
        found = transcribe(file, decoder, transcriber)
    assert found.duration_ms == SAMPLE_MS
    assert wrong_words(found.text) <= 2, found.text
    assert " ".join(segment.text for segment in found.segments) == found.text
    assert " ".join(word.text for word in found.words) == found.text
    for listed in (found.words, found.segments):
        times = [(each.start_ms, each.end_ms) for each in listed]
        assert times == sorted(times)
        assert all(0 <= start < end <= SAMPLE_MS for start, end in times)
    assert all(0 < word.confidence <= 1 for word in found.words)
    # Three seconds of silence begin at 8,969 ms, and the recorded prompts have a little of their own around them.
    first, second = (s for s in found.segments if spoken(s.text)[-1] in ("received", "busy"))
    assert first.end_ms == pytest.approx(8_900, abs=250)
    assert second.start_ms == pytest.approx(12_000, abs=250)


def test_where_nobody_speaks_there_is_no_text(transcriber: Transcriber, decoder: Decoder) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(20 * 16_000).astype(np.float32)
    for samples in (np.zeros(48_000, np.float32), noise):
        with tempfile.TemporaryFile() as file:
            soundfile.write(file, samples, 16_000, format="WAV")
            file.flush()
            found = transcribe(file, decoder, transcriber)
        assert (found.text, found.segments, found.words) == ("", [], [])
        assert found.duration_ms == len(samples) / 16


def test_a_long_recording_is_cut_and_its_times_go_on(transcriber: Transcriber) -> None:
    samples, rate = soundfile.read(SAMPLE, dtype="float32")
    once = np.repeat(samples, 16_000 // rate)
    seen: list[float] = []
    blocks = [block for _ in range(4) for block in np.array_split(once, 20)]
    found = transcriber.read(blocks, seen.append)
    assert wrong_words(found.text, SAMPLE_TEXT * 4) <= 8, found.text
    assert found.words[-1].end_ms == pytest.approx(4 * SAMPLE_MS, abs=500)
    assert seen == sorted(seen)
    assert len(seen) == len(blocks)
    assert seen[-1] == pytest.approx(4 * SAMPLE_MS / 1000, abs=2)


def test_a_checkpoint_may_stop_it(transcriber: Transcriber) -> None:
    def stop(seconds: float) -> None:
        if seconds > 3:
            raise LeaseLost("stop")

    with pytest.raises(LeaseLost):
        transcriber.read([np.zeros(16_000, np.float32)] * 10, stop)


def test_the_shipped_model_passes_its_checks_and_is_added_whole(copy: Path, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    added = add_model(store, copy)
    assert added.manifest.id == "moonshine-tiny-en@0.0.59"
    assert store.models() == [added]
    check_model(added)


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
def test_what_the_manifest_has_wrong_is_named(copy: Path, tmp_path: Path, old: str, new: str, field: str) -> None:
    edit(copy, old, new)
    with pytest.raises(InvalidManifest) as refused:
        add_model(ModelStore(tmp_path / "store"), copy)
    assert field in str(refused.value)


def test_graphs_that_are_exchanged_are_refused(copy: Path, tmp_path: Path) -> None:
    for old, new in (("encoder]", "first]"), ("decoder]", "encoder]"), ("first]", "decoder]")):
        edit(copy, old, new)
    with pytest.raises(InvalidManifest, match=r"files\.encoder"):
        add_model(ModelStore(tmp_path / "store"), copy)


@pytest.mark.parametrize("name", ["encoder_model.ort", "tokenizer.bin", "silero_vad_16k_sequence.onnx"])
def test_every_file_is_verified_and_must_be_there(tmp_path: Path, name: str) -> None:
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
    with pytest.raises(ModelNotFound, match="cannot be used as it is"):
        store.resolve("moonshine-tiny-en")


def test_each_task_refuses_the_other_ones_model(transcriber: Transcriber, models: Path) -> None:
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
