"""Annotations: their limits, all or none of them, and both formats of files there and back."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.errors import Conflict, InvalidRequest, NotFound, NotReady
from appliance.services.box import Box
from appliance.services.datasets import annotations as service
from appliance.services.datasets.annotations import Mark
from appliance.state.annotations import Annotation
from tests.services.datasets.recordings import PROPERTIES, normalizing_audio, ready_audio

DURATION_MS = PROPERTIES.duration_ms

# Letters, digits, marks and signs of every script, and spaces between them.
WORDS = st.text(st.characters(categories=("L", "M", "N", "P", "S")), min_size=1, max_size=20)
LABELS = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
MARKS = st.lists(
    st.builds(
        lambda label, start_ms, length_ms: Mark(label, start_ms, start_ms + length_ms),
        LABELS,
        st.integers(0, 12 * 3_600_000),
        st.integers(1, 3_600_000),
    ),
    max_size=5,
)


@pytest.fixture
def audio_id(box: Box, dataset_id: str) -> str:
    """Audio of one second that is ready to be annotated."""
    return ready_audio(box, dataset_id)


def stored(marks: Iterable[Mark]) -> list[Annotation]:
    """The marks as they come out of the database."""
    return [
        Annotation(f"{number}", mark.artifact_type, mark.start_ms, mark.end_ms, 0.0)
        for number, mark in enumerate(marks)
    ]


@pytest.mark.parametrize(
    "mark", [Mark("x", 0, 1), Mark("x" * 100, 0, 1), Mark("x", 0, DURATION_MS), Mark("x", DURATION_MS - 1, DURATION_MS)]
)
def test_a_mark_at_a_limit_is_stored(box: Box, dataset_id: str, audio_id: str, mark: Mark) -> None:
    [annotation] = service.add_annotations(box, 1, dataset_id, audio_id, [mark])
    assert Mark(annotation.artifact_type, annotation.start_ms, annotation.end_ms) == mark
    assert service.list_annotations(box, 1, dataset_id, audio_id) == [annotation]


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (Mark("", 0, 1), "artifact_type: must have 1 to 100 characters"),
        (Mark("x" * 101, 0, 1), "artifact_type: must have 1 to 100 characters"),
        (Mark("x", -1, 1), "end_ms: must be after start_ms"),
        (Mark("x", 5, 5), "end_ms: must be after start_ms"),
        (Mark("x", 5, 4), "end_ms: must be after start_ms"),
        (Mark("x", 5, DURATION_MS + 1), "end_ms: 1001 is after the recording's end at 1000"),
        (Mark("x", 10**30, 10**31), "is after the recording's end"),
        (Mark("\0", 0, 1), "artifact_type: contains NUL"),
        (Mark("a\0b", 0, 1), "artifact_type: contains NUL"),
        (Mark("\ud800", 0, 1), "artifact_type: contains a lone surrogate"),
    ],
)
def test_one_mark_beyond_a_limit_keeps_out_all(
    box: Box, dataset_id: str, audio_id: str, mark: Mark, message: str
) -> None:
    good = Mark("x", 0, 1)
    with pytest.raises(InvalidRequest, match=message):
        service.add_annotations(box, 1, dataset_id, audio_id, [mark])
    with pytest.raises(InvalidRequest, match=f"annotation 3: .*{message}"):
        service.add_annotations(box, 1, dataset_id, audio_id, [good, good, mark, good])
    assert service.list_annotations(box, 1, dataset_id, audio_id) == []


def test_annotations_come_in_order_of_their_start(box: Box, dataset_id: str, audio_id: str) -> None:
    first = service.add_annotations(box, 1, dataset_id, audio_id, [Mark("b", 5, 9), Mark("a", 2, 3)])
    second = service.add_annotations(box, 1, dataset_id, audio_id, [Mark("c", 5, 6), Mark("d", 0, 1)])
    assert [row.artifact_type for row in first] == ["a", "b"]
    assert [row.artifact_type for row in second] == ["d", "c"]
    listed = service.list_annotations(box, 1, dataset_id, audio_id)
    assert [row.artifact_type for row in listed] == ["d", "a", "c", "b"]


def test_the_time_of_an_import_grows_with_its_labels(box: Box, dataset_id: str, audio_id: str) -> None:
    def cpu_seconds(count: int) -> float:
        started = time.thread_time()
        service.add_annotations(box, 1, dataset_id, audio_id, [Mark("x", 0, 1)] * count)
        return time.thread_time() - started

    cpu_seconds(10)  # what only the first call does
    small = min(cpu_seconds(500) for _ in range(3))
    assert cpu_seconds(10_000) < 100 * small  # 20 times if it grows with the labels, 400 with their square


def test_an_import_and_a_recording_have_a_limit(
    box: Box, dataset_id: str, audio_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_MARKS", 3)
    monkeypatch.setattr(service, "MAX_OF_RECORDING", 5)
    mark = Mark("x", 0, 1)
    with pytest.raises(InvalidRequest, match="The file has 4 annotations; one import can have 3"):
        service.add_annotations(box, 1, dataset_id, audio_id, [mark] * 4)
    service.add_annotations(box, 1, dataset_id, audio_id, [mark] * 3)
    with pytest.raises(Conflict, match="The recording has 3 annotations; it can have 5"):
        service.add_annotations(box, 1, dataset_id, audio_id, [mark] * 3)
    service.add_annotations(box, 1, dataset_id, audio_id, [mark] * 2)
    assert service.count_annotations(box, 1, dataset_id, audio_id) == 5


def test_audio_that_is_not_ready_cannot_be_annotated(box: Box, dataset_id: str) -> None:
    recording, _ = normalizing_audio(box, dataset_id)
    with pytest.raises(NotReady):
        service.add_annotations(box, 1, dataset_id, recording.id, [Mark("x", 0, 1)])


def test_the_annotations_of_another_tenant_are_not_found(box: Box, dataset_id: str, audio_id: str) -> None:
    [annotation] = service.add_annotations(box, 1, dataset_id, audio_id, [Mark("x", 0, 1)])
    calls: list[Callable[[], object]] = [
        lambda: service.add_annotations(box, 2, dataset_id, audio_id, [Mark("x", 0, 1)]),
        lambda: service.list_annotations(box, 2, dataset_id, audio_id),
        lambda: service.delete_annotation(box, 2, dataset_id, audio_id, annotation.id),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call()
    assert service.list_annotations(box, 1, dataset_id, audio_id) == [annotation]


def test_an_annotation_is_deleted_once_and_only_through_its_audio(box: Box, dataset_id: str, audio_id: str) -> None:
    [annotation] = service.add_annotations(box, 1, dataset_id, audio_id, [Mark("x", 0, 1)])
    with pytest.raises(NotFound):
        service.delete_annotation(box, 1, dataset_id, ready_audio(box, dataset_id), annotation.id)
    service.delete_annotation(box, 1, dataset_id, audio_id, annotation.id)
    with pytest.raises(NotFound):
        service.delete_annotation(box, 1, dataset_id, audio_id, annotation.id)
    assert service.list_annotations(box, 1, dataset_id, audio_id) == []


@given(MARKS)
@example([Mark('"quotes" \\ back', 0, 1)])
def test_json_lines_keep_every_mark(marks: list[Mark]) -> None:
    assert service.from_json_lines(service.to_json_lines(stored(marks))) == marks


@given(MARKS)
@example([Mark("\\label", 1_160, 1_742)])
def test_a_label_track_keeps_every_mark_to_the_millisecond(marks: list[Mark]) -> None:
    assert service.from_audacity(service.to_audacity(stored(marks))) == marks


@given(st.text() | st.text('0123456789.,-+e\t\n\\ "{}[]:naif'))
def test_a_file_that_cannot_be_read_is_an_invalid_request(text: str) -> None:
    for read in (service.from_json_lines, service.from_audacity):
        with contextlib.suppress(InvalidRequest):
            read(text)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=100))
@example("one\u2028two\x85three")
@example(" x ")
def test_a_label_of_any_characters_is_kept_or_refused(label: str) -> None:
    marks = [Mark("before", 0, 1), Mark(label, 1, 2), Mark("after", 2, 3)]
    assert service.from_json_lines(service.to_json_lines(stored(marks))) == marks
    with contextlib.suppress(InvalidRequest):
        assert service.from_audacity(service.to_audacity(stored(marks))) == marks


@pytest.mark.parametrize("label", ["a\nb", "a\rb", " x", "x\u2028", "\t"])
def test_a_label_that_a_label_track_would_change_is_refused(label: str) -> None:
    with pytest.raises(InvalidRequest, match=r"format: the label .* use jsonl"):
        service.to_audacity(stored([Mark("good", 0, 1), Mark(label, 1, 2)]))


GOOD = {"artifact_type": "x", "start_ms": 1, "end_ms": 2}


@pytest.mark.parametrize(
    "line",
    [
        "text",
        "[]",
        "null",
        "5",
        "{}",
        json.dumps({"artifact_type": "x", "start_ms": 1}),
        json.dumps(GOOD | {"artifact_type": None}),
        json.dumps(GOOD | {"start_ms": 1.0}),
        json.dumps(GOOD | {"start_ms": "1"}),
        json.dumps(GOOD | {"end_ms": True}),
        json.dumps(GOOD | {"end_ms": float("nan")}),
        json.dumps(GOOD)[:-1],
        "[" * 100_000,
    ],
)
def test_an_invalid_json_line_is_named_by_its_number(line: str) -> None:
    with pytest.raises(InvalidRequest, match="line 3: "):
        service.from_json_lines(f"{json.dumps(GOOD)}\n\n{line}\n{json.dumps(GOOD)}\n")


@pytest.mark.parametrize(
    "line", ["text", "1.0", "1.0 2.0 x", "a\tb\tc", "1\t\tx", "nan\t1\tx", "0\tinf\tx", "0\t1e308"]
)
def test_an_invalid_line_of_a_label_track_is_named_by_its_number(line: str) -> None:
    with pytest.raises(InvalidRequest, match="line 4: "):
        service.from_audacity(f"0\t1\tx\n\\\t100\t200\n\n{line}\n0\t1\tx\n")


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_files_may_have_the_line_ends_of_any_system(line_end: str) -> None:
    marks = [Mark("x", 1000, 2000)] * 2
    assert service.from_audacity(service.to_audacity(stored(marks)).replace("\n", line_end)) == marks
    assert service.from_json_lines(service.to_json_lines(stored(marks)).replace("\n", line_end)) == marks


def test_json_lines_may_hold_more_keys_blank_lines_and_windows_line_ends() -> None:
    text = f"\r\n{json.dumps(GOOD | {'confidence': 0.5})}\r\n   \r\n{json.dumps(GOOD)}"
    assert service.from_json_lines(text) == [Mark("x", 1, 2)] * 2


@pytest.mark.parametrize(
    ("line", "mark"),
    [
        ("1.5\t2.5\thum", Mark("hum", 1500, 2500)),
        ("1,5\t2,5\thum", Mark("hum", 1500, 2500)),
        ("1.5\t1.5\tclick", Mark("click", 1500, 1501)),
        ("0.0004\t0.0006\tshort", Mark("short", 0, 1)),
        ("0.1234567\t0.2345678\tinside", Mark("inside", 123, 235)),
        ("1\t2\ttwo words\tand a tab", Mark("two words\tand a tab", 1000, 2000)),
        ("1\t2", Mark("", 1000, 2000)),
        ("1\t2\t x \r", Mark("x", 1000, 2000)),
    ],
)
def test_a_line_of_a_label_track_becomes_a_mark_in_milliseconds(line: str, mark: Mark) -> None:
    assert service.from_audacity(line) == [mark]


def test_the_frequencies_of_a_spectral_selection_are_skipped() -> None:
    assert service.from_audacity("1\t2\thum\n\\\t50.0\t60.0\n") == [Mark("hum", 1000, 2000)]
