"""The JSON of a transcript on the presigned route, at each status."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.errors import CorruptAudio
from appliance.services.box import Box
from appliance.services.speech import presigned
from appliance.services.speech import work as speech_work
from appliance.services.speech.outcome import camel_case
from appliance.services.work import leases
from tests.services.speech.arrivals import RESULT, complete, model_of, put_bytes, request_url
from tests.support.boxes import claim


def outcome_at(box: Box, status: str, result: dict[str, Any] = RESULT) -> dict[str, Any]:
    """The outcome of a transcript that has come as far as ``status``."""
    transcript, _, key = request_url(box)
    if status != "waiting":
        put_bytes(box, key)
        presigned.key_arrived(box, key)
    if status == "completed":
        complete(box, result)
    if status in ("processing", "failed"):
        work = claim(box)
        speech_work.report_progress(box, transcript.id, 0.25)
        if status == "failed":
            leases.fail(box, work, CorruptAudio("Not a recording."))
    return presigned.report(box, 1, transcript.id)


@pytest.mark.parametrize(
    ("status", "public", "progress"),
    [
        ("waiting", "pending", 0),
        ("queued", "processing", 0),
        ("processing", "processing", 0.25),
        ("completed", "completed", 1),
        ("failed", "failed", 0.25),
    ],
)
def test_every_field_is_there_at_every_status(box: Box, status: str, public: str, progress: float) -> None:
    outcome = outcome_at(box, status)
    assert (outcome["status"], outcome["progress"]) == (public, progress)
    assert (outcome["fileName"], outcome["contentType"], outcome["modelId"]) == ("a.wav", "audio/wav", model_of(box))
    assert outcome.keys() >= {
        *("transcriptionId", "status", "progress", "fileName", "contentType", "modelId", "durationMs"),
        *(
            "text",
            "segments",
            "words",
            "detections",
            "detectionsTruncated",
            "error",
            "errorCode",
            "createdAt",
            "updatedAt",
        ),
    }
    filled = {name for name in ("text", "words", "segments", "detections", "durationMs", "error") if outcome[name]}
    expected = {"completed": {"text", "words", "segments", "durationMs"}, "failed": {"error"}}
    assert filled == expected.get(status, set())


def test_the_outcome_of_a_failed_transcript_says_why(box: Box) -> None:
    outcome = outcome_at(box, "failed")
    assert (outcome["error"], outcome["errorCode"]) == ("Not a recording.", "corrupt_audio")


def test_the_outcome_of_a_model_for_detection_has_detections_and_no_text(box: Box) -> None:
    detection = {"artifact_type": "loud", "start_ms": 1, "end_ms": 2, "confidence": 0.5}
    outcome = outcome_at(box, "completed", {"detections": [detection]})
    assert outcome["detections"] == [{"artifactType": "loud", "startMs": 1, "endMs": 2, "confidence": 0.5}]
    assert (outcome["text"], outcome["words"], outcome["segments"]) == (None, None, None)


def test_only_keys_become_camel_case_at_every_depth() -> None:
    value = {"start_ms": [{"end_ms": "a_b"}, 5, None], "text": {"one_two_three": "start_ms"}}
    assert camel_case(value) == {"startMs": [{"endMs": "a_b"}, 5, None], "text": {"oneTwoThree": "start_ms"}}
