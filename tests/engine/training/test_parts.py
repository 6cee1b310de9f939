"""The parts of a training whose results can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.engine.decode.decoder import DecodeLimits
from appliance.engine.scoring.events import Detection
from appliance.engine.training import intervals
from appliance.engine.training.evaluate import per_label
from appliance.engine.training.figures import calibration_error, poisson_upper
from appliance.engine.training.fingerprint import Fingerprinter, copies
from appliance.engine.training.head import backward, forward, initial
from appliance.engine.training.judge import (
    Tally,
    change_intervals,
    differences,
    f1_interval,
    outcomes,
    tally,
)
from appliance.engine.training.marks import ABSENT, PRESENT, UNKNOWN, UNSURE, frame_states
from appliance.engine.training.request import Stretch, TrainingRecording, TrainingRequest
from appliance.engine.training.split import Split, folds, lacks, split


def said(number: int, group: str, **said: object) -> TrainingRecording:
    return TrainingRecording(f"id-{number}", Path("unused"), f"sha-{number}", group, 60_000, **said)  # type: ignore[arg-type]


def asking(recordings: list[TrainingRecording], **changes: object) -> TrainingRequest:
    made = TrainingRequest("m", "1", ("tick",), "append", Path("unused"), tuple(recordings), DecodeLimits())
    return replace(made, **changes)  # type: ignore[arg-type]


def ticks(count: int) -> tuple[Stretch, ...]:
    return tuple(Stretch("tick", 1000 * i, 1000 * i + 100) for i in range(count))


def test_intervals() -> None:
    assert intervals.union([(5, 7), (0, 2), (2, 3), (6, 9)]) == [(0, 3), (5, 9)]
    assert intervals.without([(0, 10)], [(2, 3), (8, 20)]) == [(0, 2), (3, 8)]
    assert intervals.total_ms([(0, 5), (3, 8)]) == 8


def test_gradients_are_those_of_the_scores() -> None:
    rng = np.random.default_rng(0)
    weights = {name: w.astype(np.float64) for name, w in initial(5, 2, rng).items()}
    x, pull = rng.standard_normal((2, 40, 5)), rng.standard_normal((2, 40, 2))
    _, kept = forward(weights, x)
    gradients = backward(weights, kept, pull)
    for name, w in weights.items():
        place = tuple(rng.integers(size) for size in w.shape)
        sums = []
        for step in (1e-6, -2e-6):
            w[place] += step
            sums.append(float((forward(weights, x)[0] * pull).sum()))
        assert gradients[name][place] == pytest.approx((sums[0] - sums[1]) / 2e-6, rel=1e-4, abs=1e-6)


def test_what_people_said_is_painted_on_frames_and_events_win() -> None:
    recording = said(
        0,
        "a",
        events=(Stretch("tick", 20, 21),),
        unsures=(Stretch("tick", 40, 60),),
        absents=(Stretch("tick", 90, 100),),
        reviewed=(Stretch("tick", 0, 70),),
    )
    states = frame_states(recording, ["tick"], 10, 10.0)[:, 0].tolist()
    assert states == [ABSENT, ABSENT, PRESENT, ABSENT, UNSURE, UNSURE, ABSENT, UNKNOWN, UNKNOWN, ABSENT]


def test_a_group_is_on_one_side_alone_and_the_split_is_the_same_each_time() -> None:
    recordings = [said(i, f"group-{i // 2}", events=ticks(1 + i % 3)) for i in range(24)]
    parts = split(asking(recordings))
    assert parts == split(asking(recordings))
    held_out = {r.group for r in parts.held_out}
    assert len(held_out) == 3
    assert not held_out & {r.group for r in parts.fit}
    of_folds = folds(parts.fit, ["tick"], 3, 0)
    assert sorted(group for groups in of_folds for group in groups) == sorted({r.group for r in parts.fit})


def test_the_least_that_is_accepted_is_divided_so_that_both_sides_have_enough() -> None:
    reviewed = (Stretch("tick", 0, 60_000 * 10),)
    events = [ticks(2)] * 7 + [ticks(1)]  # 15 events in 8 groups
    recordings = [said(i, f"group-{i}", events=e, reviewed=reviewed) for i, e in enumerate(events)]
    for seed in range(5):
        assert lacks(asking(recordings, seed=seed)) == []


def test_held_out_recordings_with_the_bytes_of_fitted_ones_are_left_out() -> None:
    fit = [said(i, f"group-{i}", held_out=False) for i in range(3)]
    held_out = [said(i, f"group-{i}", held_out=True) for i in range(3, 6)]
    copy = replace(held_out[0], sha256=fit[0].sha256)
    parts = split(asking([*fit, copy, *held_out[1:]]))
    assert [r.id for r in parts.fit] == ["id-0", "id-1", "id-2"]
    assert [r.id for r in parts.held_out] == ["id-4", "id-5"]
    assert [r.id for r in parts.left_out] == ["id-3"]


def fingerprint(audio: np.ndarray, block: int) -> np.ndarray:
    fingerprinter = Fingerprinter(16_000)
    for first in range(0, len(audio), block):
        fingerprinter.add(audio[first : first + block])
    return fingerprinter.finish()


def test_a_copy_is_told_from_another_recording_of_the_same_machine() -> None:
    """Each has the same hum and the same knock each second; a part that is quieter and noisier is a copy."""
    time = np.arange(40 * 16_000) / 16_000
    machine = sum(np.sin(2 * np.pi * hz * time) for hz in (400, 800, 1200))
    machine += 3 * np.sin(2 * np.pi * 1000 * time) * (time % 1 < 0.05)
    noises = [np.random.default_rng(seed).standard_normal(len(time)) for seed in range(3)]
    recordings = [0.05 * machine + 0.02 * noise for noise in noises]
    part = 0.3 * recordings[1][100_000:400_000] + 0.002 * noises[2][:300_000]
    prints = [fingerprint(audio, 7_000) for audio in (*recordings, part, np.zeros(1000))]
    assert copies(prints) == [(1, 3)]
    assert np.array_equal(prints[0], fingerprint(recordings[0], len(time)))


def test_each_lack_is_named_with_its_label() -> None:
    enough = [said(i, f"group-{i}", events=ticks(3), reviewed=(Stretch("tick", 0, 60_000),)) for i in range(40)]
    assert lacks(asking(enough)) == []
    one_group = [replace(r, group="same") for r in enough]
    assert "tick: its events held out are of 1 group; 3 are needed." in lacks(asking(one_group))
    unreviewed = [replace(r, reviewed=()) for r in enough]
    assert lacks(asking(unreviewed)) == ["tick: 0.0 minutes are reviewed and without it; 30.0 are needed."]
    sentences = lacks(asking(enough, labels=("tick", "tock")))
    assert "tock: 0 events for fitting; 10 are needed." in sentences
    assert lacks(asking([replace(r, duration_ms=10**8) for r in enough]))[0].startswith("The recordings last 1111 h")


def test_detections_are_compared_with_events_one_to_one_and_alarms_count_only_where_people_listened() -> None:
    recording = said(
        0,
        "a",
        events=(Stretch("tick", 1000, 1100), Stretch("tick", 5000, 5100)),
        unsures=(Stretch("tick", 8000, 9000),),
        reviewed=(Stretch("tick", 0, 10_000),),
    )
    times = [(1250, 1300), (1310, 1400), (3000, 3100), (8400, 8500), (20_000, 20_100)]
    counted = tally(recording, "tick", [Detection("tick", start, end, 0.9) for start, end in times])
    assert (counted.hits, counted.misses, counted.alarms) == (1, 1, 2)  # not the unsure, not the unheard
    assert counted.absent_ms == 10_000 - 200 - 1000
    assert (counted.precision, counted.recall, counted.f1) == (1 / 3, 1 / 2, 0.4)


def test_the_report_warns_of_a_label_that_breaks_its_share_of_the_alarms_or_finds_nothing() -> None:
    recording = said(0, "a", events=ticks(5), reviewed=(Stretch("tick", 0, 60_000),))
    asked = asking([recording], labels=("tick", "tock"), max_false_alarms_per_hour=10.0)
    parts = Split(fit=(recording,), held_out=(recording,))
    hour = 3_600_000

    def warnings(counted: Tally) -> str:
        tallies = {label: {"a": counted} for label in asked.labels}
        return " ".join(per_label(asked, parts, tallies, tallies, (0.9, 0.9))[0]["warnings"])

    assert "It had 6.0 false alarms per hour; its share is 5." in warnings(Tally(hits=1, alarms=6, absent_ms=hour))
    assert "It found nothing at 0.9" in warnings(Tally(misses=5, absent_ms=hour))
    fine = warnings(Tally(hits=1, alarms=5, absent_ms=hour))
    assert "share" not in fine
    assert "nothing" not in fine


def test_two_detectors_are_compared_on_the_same_groups() -> None:
    """Groups differ much, and the second detector finds one event more in each: so it is surely better."""
    groups = {f"group-{number}": 10 * number for number in range(1, 10)}
    first = {group: Tally(hits=hits, misses=10) for group, hits in groups.items()}
    second = {group: Tally(hits=hits + 1, misses=9) for group, hits in groups.items()}
    low, high = change_intervals(first, second, 0)["recall"]
    assert 0 < low < high < 0.05
    assert f1_interval(first, 0)[1] > f1_interval(second, 0)[0]  # their own intervals overlap


def test_what_only_one_of_two_detectors_reports() -> None:
    recording = said(0, "a", events=ticks(3), reviewed=(Stretch("tick", 0, 10_000),))
    times = ([(0, 50), (1000, 1100), (6000, 6100), (20_000, 20_100)], [(1100, 1200), (2000, 2100), (6150, 6200)])
    first, second = (outcomes(recording, "tick", [Detection("tick", a, b, 0.9) for a, b in some]) for some in times)
    assert [(row.kind, row.start_ms, number) for row, number in differences(first, second)] == [
        ("hit", 0, 0),
        ("hit", 2000, 1),
        ("unknown", 20_000, 0),
    ]


def test_intervals_of_figures() -> None:
    assert poisson_upper(0) == pytest.approx(2.996, abs=1e-3)
    assert poisson_upper(4) == pytest.approx(9.154, abs=1e-3)
    assert f1_interval({"a": tally(said(0, "a", events=ticks(2)), "tick", [])}, 0) == (0.0, 0.0)
    assert calibration_error([(0.9, True), (0.9, True), (0.9, False), (0.3, False)]) == pytest.approx(0.25)
