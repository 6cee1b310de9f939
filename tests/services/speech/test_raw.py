"""The raw route: bodies that arrive whole, too large, empty or broken off, and who may use what they left."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import FileTooLarge, Forbidden, InvalidRequest, NotFound, StorageUnavailable
from appliance.services.box import Box
from appliance.services.speech import raw, raw_transcripts
from appliance.services.speech.raw import BoundedBody
from appliance.services.speech.raw_transcripts import Callback
from tests.services.speech.arrivals import model_of, stored_media
from tests.support.boxes import CONTENT, DictionaryStore, queued_work, with_settings


class Pieces:
    """A body that arrives in pieces, and breaks off after them if there is an error."""

    def __init__(self, pieces: list[bytes], error: OSError | None = None) -> None:
        self.pieces = list(pieces)
        self.error = error

    def read(self, size: int, /) -> bytes:
        """Return one piece, or as much of it as is asked for."""
        if not self.pieces:
            if self.error:
                raise self.error
            return b""
        piece = self.pieces.pop(0)
        if len(piece) > size:
            self.pieces.insert(0, piece[size:])
        return piece[:size]


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=8), st.integers(1, 32))
def test_a_bounded_body_comes_in_whole_blocks(pieces: list[bytes], size: int) -> None:
    body = BoundedBody(Pieces(pieces), 1000)
    blocks = list(iter(lambda: body.read(size), b""))
    assert b"".join(blocks) == b"".join(pieces)
    assert all(len(block) == size for block in blocks[:-1])
    assert body.size_bytes == sum(map(len, pieces))


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=8), st.integers(1, 32))
def test_a_bounded_body_ends_at_its_limit_and_not_before(pieces: list[bytes], size: int) -> None:
    num_bytes = sum(map(len, pieces))
    exact, short = BoundedBody(Pieces(pieces), num_bytes), BoundedBody(Pieces(pieces), num_bytes - 1)
    assert b"".join(iter(lambda: exact.read(size), b"")) == b"".join(pieces)
    with pytest.raises(FileTooLarge):
        list(iter(lambda: short.read(size), b""))


def test_a_body_becomes_stored_media(box: Box, objects: DictionaryStore) -> None:
    content = bytes(range(256)) * 1000  # more than one block
    media = stored_media(box, content=content)
    assert (media.status, media.size_bytes, media.content_type) == ("stored", len(content), "audio/wav")
    assert objects.contents == {media.object_key: content}
    assert objects.stat(media.object_key).etag == media.etag


def test_a_body_may_come_without_a_length_and_with_any_type(box: Box) -> None:
    media_id = raw.store_body(box, 1, io.BytesIO(CONTENT), declared_bytes=None, content_type="text/plain")
    media = raw.find_media(box, 1, media_id)
    assert (media.size_bytes, media.content_type) == (len(CONTENT), "application/octet-stream")


@pytest.mark.parametrize(
    ("body", "declared_bytes", "error"),
    [
        (Pieces([]), None, InvalidRequest),
        (Pieces([]), 0, InvalidRequest),
        (Pieces([b"x" * 60, b"x" * 41]), None, FileTooLarge),
        (Pieces([b"x" * 60]), 61, InvalidRequest),
        (Pieces([b"x" * 60], ConnectionResetError()), None, InvalidRequest),
        (Pieces([b"x" * 60], TimeoutError()), 100, InvalidRequest),
    ],
    ids=["empty", "declared empty", "too large", "shorter than declared", "broken off", "timed out"],
)
def test_a_refused_body_leaves_only_the_deletion_of_its_bytes(
    box: Box, body: Pieces, declared_bytes: int | None, error: type[Exception]
) -> None:
    limited = with_settings(box, max_upload_bytes=100)
    with pytest.raises(error):
        raw.store_body(limited, 1, body, declared_bytes=declared_bytes, content_type="audio/wav")
    assert box.db.all("SELECT 1 FROM media") == []
    assert [kind for kind, _ in queued_work(box)] == ["purge"]


def test_a_body_that_storage_does_not_take_leaves_no_media(
    box: Box, objects: DictionaryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> str:
        raise StorageUnavailable("It does not answer.")

    monkeypatch.setattr(objects, "put_stream", away)
    with pytest.raises(StorageUnavailable):
        stored_media(box)
    assert box.db.all("SELECT 1 FROM media") == []


def test_media_is_forbidden_to_another_tenant_as_if_it_did_not_exist(box: Box) -> None:
    media = stored_media(box)
    calls: list[Callable[[], object]] = [
        lambda: raw.find_media(box, 2, media.id),
        lambda: raw_transcripts.transcribe(box, 2, media.id, model_of(box), {}, Callback()),
        lambda: raw.find_media(box, 1, "none"),
    ]
    for call in calls:
        with pytest.raises(Forbidden, match="Cannot access uploaded file"):
            call()
    assert queued_work(box) == []


def test_a_transcript_keeps_the_options_of_its_request(box: Box) -> None:
    options = {"punctuate": True, "language_code": "en"}
    transcript = raw_transcripts.transcribe(box, 1, stored_media(box).id, model_of(box), options, Callback())
    assert (transcript.status, transcript.options) == ("queued", options)


def test_media_is_deleted_with_the_last_of_its_transcripts(box: Box) -> None:
    media = stored_media(box)
    first, second = (raw_transcripts.transcribe(box, 1, media.id, model_of(box), {}, Callback()) for _ in range(2))
    raw_transcripts.delete(box, first)
    assert raw.find_media(box, 1, media.id).object_key == media.object_key
    assert queued_work(box) == [("transcription", second.id)]
    raw_transcripts.delete(box, second)
    with pytest.raises(Forbidden):
        raw.find_media(box, 1, media.id)
    with pytest.raises(NotFound):
        raw_transcripts.find(box, 1, second.id)
    assert queued_work(box) == [("purge", f"tenant-1/media/{media.id}")]
