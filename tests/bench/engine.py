"""``detect`` beside what this machine can do, and short clips beside long recordings."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from appliance.config import Settings
from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.models.session import Session, num_cores
from appliance.engine.models.store import ModelStore, StoredModel
from tests.bench import costs, recordings
from tests.bench.costs import Cost
from tests.bench.figures import Figure, Rounds

CLIP_SECONDS = 2


def bundled_model() -> StoredModel:
    """Return the default model."""
    settings = Settings()
    return ModelStore(settings.model_store).resolve(settings.default_model)


def detect(files: list[Path]) -> Cost:
    """Return what ``detect`` and its decoders cost on these files."""
    return costs.run(sys.executable, "-m", "appliance.cli", "detect", "--format", "json", *files)


def start(folder: Path) -> Cost:
    """Return what ``detect`` costs on almost nothing: a clip of 100 ms for each decoder."""
    clips = [recordings.wav(folder / f"start{number}.wav", 0.1) for number in range(num_cores())]
    return detect(clips)


def decode_seconds(files: list[Path], rate_hz: int) -> tuple[float, float]:
    """Return the CPU seconds that decoding takes, decoder and parent together, and the seconds of audio."""
    with Decoder(DecodeLimits()) as decoder:
        _decoded_seconds(decoder, files[0], rate_hz)
        assert decoder.pid
        before = time.process_time() + costs.tree_seconds(decoder.pid)
        audio = sum(_decoded_seconds(decoder, path, rate_hz) for path in files)
        return time.process_time() + costs.tree_seconds(decoder.pid) - before, audio


def _decoded_seconds(decoder: Decoder, path: Path, rate_hz: int) -> float:
    with path.open("rb") as file, decoder.decode(file, rate_hz) as audio:
        return sum(len(block) for block in audio) / rate_hz


def graph_seconds(session: Session) -> float:
    """Return the CPU seconds of bare calls, one for each core at once, for each second of audio."""
    source = session.manifest.input
    batch = np.resize(recordings.sound(source.window_seconds, source.sample_rate_hz, 1), (1, source.window_samples))
    num_calls = 4 * num_cores()
    with ThreadPoolExecutor(num_cores()) as pool:
        session.run(batch, session.manifest.output.name)
        before = time.process_time()
        list(pool.map(lambda _: session.run(batch, session.manifest.output.name), range(num_calls)))
        return (time.process_time() - before) / (num_calls * source.hop_seconds)


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Yield the figures of ``detect``.

    The limit is cores ÷ (decode + graph CPU seconds for each second of audio). Both are measured before and after
    ``detect`` in each round.
    """
    seconds, copies, num_clips, num_rounds = (50, 1, 50, 1) if quick else (300, 4, 300, 2)
    files = recordings.in_containers(folder / "detect", seconds, copies)
    clip = recordings.wav(folder / "clip.wav", CLIP_SECONDS)
    clips = [folder / f"clip{number}.wav" for number in range(num_clips)]
    for path in clips:
        path.symlink_to(clip)
    long_seconds = CLIP_SECONDS * num_clips / num_cores()  # each decoder has one, as in the start that is subtracted
    long = [recordings.wav(folder / f"long{number}.wav", long_seconds) for number in range(num_cores())]
    session = Session(bundled_model(), "cpu")
    rate_hz = session.manifest.input.sample_rate_hz
    rounds = Rounds()
    for _ in range(num_rounds):
        limit = _limit(files, session, rate_hz, rounds)
        idle = start(folder)
        cost = detect(files)
        limit = (limit + _limit(files, session, rate_hz, rounds)) / 2
        rounds.add("start of `detect`, CPU s", idle.cpu)
        rounds.add("`detect` ÷ limit, CPU", limit / cost.cpu, "≥ 0.95")
        rounds.add("`detect` ÷ limit, CPU, start not counted", limit / (cost.cpu - idle.cpu), "≥ 0.95")
        rounds.add("`detect` ÷ limit, wall", limit / num_cores() / cost.own_wall, "≥ 0.95")
        rounds.add(
            "`detect` ÷ limit, wall, start not counted",
            limit / num_cores() / (cost.own_wall - idle.own_wall),
            "≥ 0.95",
        )
        rounds.add("`detect`, audio s per CPU s", seconds * len(files) / cost.cpu)
        name = f"{num_clips:,} clips of {CLIP_SECONDS} s ÷ {CLIP_SECONDS * num_clips:,} s in long recordings, CPU"
        rounds.add(name, (detect(clips).cpu - idle.cpu) / (detect(long).cpu - idle.cpu), "≤ 1.3")
    yield from rounds


def _limit(files: list[Path], session: Session, rate_hz: int, rounds: Rounds) -> float:
    """Return the CPU seconds that decoding these files and running the graph on them take alone."""
    graph = graph_seconds(session)
    decoding, audio = decode_seconds(files[: len(recordings.CONTAINERS)], rate_hz)
    rounds.add("decode, CPU ms per second of audio", 1000 * decoding / audio)
    rounds.add("graph, CPU ms per second of audio", 1000 * graph)
    return (decoding / audio + graph) * audio * len(files) / len(recordings.CONTAINERS)
