"""The presigned route: what a URL is given for, and how its upload is settled, once."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.engine.scoring.events import DetectionConfig
from appliance.errors import InvalidRequest, NotFound
from appliance.services.box import Box
from appliance.services.speech import presigned
from tests.services.speech.arrivals import again, media_of, model_of, put_bytes, request_url, stored_media
from tests.support.boxes import CALLBACK, CONTENT, DictionaryStore, events, queued_work, with_settings


def make_older(box: Box, seconds: float) -> None:
    """Move all media into the past, with the expiry of its URL."""
    with box.db.transaction() as tx:
        tx.change(
            "UPDATE media SET created_at = created_at - ?, upload_expires_at = upload_expires_at - ?", [seconds] * 2
        )


def test_a_url_is_given_with_a_transcript_that_waits(box: Box) -> None:
    transcript, media, key = request_url(box, filename="talk.mp3", content_type="audio/mp3", callback_url=CALLBACK)
    assert (transcript.status, transcript.model, transcript.callback_url) == ("waiting", model_of(box), CALLBACK)
    assert (media.status, media.original_filename, media.content_type) == ("pending", "talk.mp3", "audio/mpeg")
    assert media.id in key


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"content_type": "text/plain"}, "contentType: 'text/plain' is not one of"),
        ({"callback_url": "http://10.0.0.1/a"}, "callbackUrl: The address"),
        ({"model_id": "none"}, "modelId: There is no model"),
        ({"config": DetectionConfig(threshold=0.5)}, "config: .* is for transcription"),
    ],
)
def test_a_refused_request_stores_nothing(box: Box, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        request_url(box, **fields)
    assert box.db.all("SELECT 1 FROM media UNION SELECT 1 FROM transcripts") == []


def test_a_model_for_detection_takes_a_configuration(box: Box) -> None:
    transcript, _, _ = request_url(box, model_id="loud-frames", config=DetectionConfig(threshold=0.5))
    assert (transcript.model, transcript.options) == ("loud-frames@1.0.0", {"threshold": 0.5})
    assert request_url(box, config=DetectionConfig())[0].options == {}


def test_an_upload_that_storage_reports_is_transcribed(box: Box) -> None:
    transcript, _, key = request_url(box)
    put_bytes(box, key)
    presigned.key_arrived(box, key)
    media = media_of(box, transcript)
    assert (media.status, media.size_bytes) == ("stored", len(CONTENT))
    assert box.objects.stat(media.object_key).etag == media.etag
    assert queued_work(box) == [("transcription", transcript.id)]


def test_an_upload_that_is_reported_twice_is_transcribed_once(box: Box) -> None:
    transcript, _, key = request_url(box)
    put_bytes(box, key)
    presigned.key_arrived(box, key)
    settled = media_of(box, transcript)
    presigned.key_arrived(box, key)
    presigned.settle_pending(box)
    assert media_of(box, transcript) == settled
    assert queued_work(box) == [("transcription", transcript.id)]


def test_reports_of_other_objects_are_ignored(box: Box) -> None:
    transcript, media, key = request_url(box)
    for other in ("no/such/key", stored_media(box).object_key, key):  # the last was reported before its bytes
        presigned.key_arrived(box, other)
    assert media_of(box, transcript) == media
    assert queued_work(box) == []


def test_an_empty_upload_fails(box: Box) -> None:
    transcript, _, key = request_url(box, callback_url=CALLBACK)
    put_bytes(box, key, b"")
    presigned.key_arrived(box, key)
    assert media_of(box, transcript).status == "failed"
    assert (again(box, transcript).status, again(box, transcript).error_code) == ("failed", "empty_file")
    assert events(box) == ["transcription.failed"]


@pytest.mark.parametrize(("extra_bytes", "status", "code"), [(0, "queued", None), (1, "failed", "file_too_large")])
def test_an_upload_over_the_limit_fails(box: Box, extra_bytes: int, status: str, code: str | None) -> None:
    limited = with_settings(box, max_upload_bytes=len(CONTENT))
    transcript, _, key = request_url(limited)
    put_bytes(box, key, CONTENT + b"!" * extra_bytes)
    presigned.key_arrived(limited, key)
    assert (again(box, transcript).status, again(box, transcript).error_code) == (status, code)
    assert (("transcription", transcript.id) in queued_work(box)) == (code is None)


def test_an_upload_whose_report_was_lost_is_found_after_a_while(box: Box) -> None:
    transcript, _, key = request_url(box)
    put_bytes(box, key)
    presigned.settle_pending(box)
    assert again(box, transcript).status == "waiting"  # its report may still come
    make_older(box, presigned.EVENT_SECONDS + 1)
    presigned.settle_pending(box)
    assert again(box, transcript).status == "queued"


def test_an_upload_that_never_came_fails_some_time_after_its_url_expired(box: Box) -> None:
    transcript, _, _ = request_url(box)
    for seconds, status in ((10, "waiting"), (30 * 86_400, "failed")):
        make_older(box, seconds)
        presigned.settle_pending(box)
        assert again(box, transcript).status == status
    assert again(box, transcript).error_code == "not_uploaded"


def test_a_report_of_another_tenants_transcript_is_not_found(box: Box) -> None:
    transcript, _, _ = request_url(box)
    assert presigned.report(box, 1, transcript.id)["status"] == "pending"
    for tenant_id, transcript_id in ((2, transcript.id), (1, "none")):
        with pytest.raises(NotFound):
            presigned.report(box, tenant_id, transcript_id)


def test_settling_leaves_the_objects_of_other_uploads(box: Box, objects: DictionaryStore) -> None:
    _, _, first = request_url(box)
    _, _, second = request_url(box)
    put_bytes(box, first)
    put_bytes(box, second, b"second")
    presigned.key_arrived(box, first)
    assert objects.contents[second] == b"second"
