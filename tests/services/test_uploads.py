"""Uploads by form: what may be declared, and what the uploaded object must be like."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from appliance.errors import FileTooLarge, InvalidRequest, NotUploaded, SizeMismatch, UnsupportedContentType
from appliance.services import uploads
from appliance.services.box import Box
from tests.support.boxes import ORIGIN, DictionaryStore, with_settings


@dataclass(frozen=True)
class Row:
    """A row that names an uploaded object."""

    id: str = "id"
    original_filename: str = "a.wav"
    content_type: str = "audio/wav"
    declared_size_bytes: int = 3
    upload_expires_at: float = 0.0
    object_key: str = "k/original"
    upload_key: str | None = None
    etag: str | None = None
    awaits_copy: bool = False
    error_code: str | None = None


@pytest.mark.parametrize("size_bytes", [1, 100])
def test_a_size_at_a_limit_is_accepted(box: Box, size_bytes: int) -> None:
    limited = with_settings(box, max_upload_bytes=100)
    declaration = uploads.declare(limited, "a.wav", "audio/x-wav; x=y", size_bytes, "size")
    assert declaration == uploads.Declaration("a.wav", "audio/wav", size_bytes)


@pytest.mark.parametrize(
    ("content_type", "size_bytes", "error", "message"),
    [
        ("audio/wav", 0, InvalidRequest, "size: must be at least 1"),
        ("audio/wav", -1, InvalidRequest, "size: must be at least 1"),
        ("audio/wav", 101, FileTooLarge, "size: 101 is over the limit of 100 bytes"),
        ("audio/midi", 1, UnsupportedContentType, "content_type: 'audio/midi' is not one of"),
    ],
)
def test_a_refused_declaration_names_its_field(
    box: Box, content_type: str, size_bytes: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        uploads.declare(with_settings(box, max_upload_bytes=100), "a.wav", content_type, size_bytes, "size")


def test_a_form_says_how_long_it_is_valid(box: Box) -> None:
    upload = uploads.make_upload(
        with_settings(box, upload_expires_seconds=60),
        "id",
        "k/original",
        uploads.Declaration("", "audio/wav", 3),
        ORIGIN,
    )
    assert (upload.file_id, upload.expires_seconds) == ("id", 60)
    assert upload.form.fields["Content-Type"] == "audio/wav"
    assert upload.expires_at == pytest.approx(time.time() + 60, abs=30)


def test_an_uploaded_object_has_the_declared_size(box: Box, objects: DictionaryStore) -> None:
    with pytest.raises(NotUploaded):
        uploads.uploaded_object(box, Row())
    for content in (b"", b"ab", b"abcd"):
        objects.contents["k/original"] = content
        with pytest.raises(SizeMismatch, match=f"has {len(content)} bytes, but 3 were declared"):
            uploads.uploaded_object(box, Row())
    objects.contents["k/original"] = b"abc"
    assert uploads.uploaded_object(box, Row()) == objects.stat("k/original")


@pytest.mark.parametrize(
    ("row", "filename"),
    [
        (Row(), "a.wav"),
        (Row(original_filename=""), "id.wav"),
        (Row(original_filename="", content_type="audio/mpeg"), "id.mp3"),
    ],
)
def test_a_download_has_the_original_name_or_one_made_of_the_id(
    box: Box, objects: DictionaryStore, row: Row, filename: str
) -> None:
    with pytest.raises(NotUploaded):
        uploads.download_url(box, row, ORIGIN)
    objects.contents["k/original"] = b"abc"
    url, seconds = uploads.download_url(box, row, ORIGIN)
    assert f"?filename={filename}&type={row.content_type}&" in url
    assert seconds == box.settings.upload_expires_seconds
