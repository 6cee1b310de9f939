"""The multipart parser, with forms that arrive in pieces of any size."""

from __future__ import annotations

import io

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.api.multipart import MAX_PARTS, READ_BYTES, FilePart, file_parts
from appliance.errors import InvalidRequest

NAMES = ("files", "files.items")


class SlowBody(io.BytesIO):
    """A body that arrives in small pieces."""

    def __init__(self, content: bytes, piece: int) -> None:
        super().__init__(content)
        self.piece = piece

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(self.piece, size or 0))


def form(*files: tuple[str, bytes], name: str = "files") -> tuple[bytes, str]:
    request = requests.Request("POST", "http://x", files=[(name, file) for file in files]).prepare()
    assert isinstance(request.body, bytes)
    return request.body, request.headers["Content-Type"]


def read(body: io.BytesIO, content_type: str) -> list[tuple[str, bytes]]:
    return [(part.filename, b"".join(part.blocks)) for part in file_parts(body, content_type, NAMES)]


@given(st.lists(st.binary(max_size=300) | st.just(b"\r\n--"), min_size=1, max_size=4), st.integers(1, 400))
@settings(deadline=None)
def test_every_byte_arrives_in_pieces_of_any_size(contents: list[bytes], piece: int) -> None:
    files = [(f"take {number}.wav", content) for number, content in enumerate(contents)]
    body, content_type = form(*files)
    assert read(SlowBody(body, piece), content_type) == files


def test_a_file_that_nobody_reads_is_skipped() -> None:
    body, content_type = form(("a", b"1" * 1000), ("b", b"2"))
    parts: list[FilePart] = list(file_parts(SlowBody(body, 100), content_type, NAMES))
    assert [part.filename for part in parts] == ["a", "b"]


@pytest.mark.parametrize("length", [0, 1, 40, 120, -1, -30])
def test_a_form_that_broke_off_is_refused(length: int) -> None:
    body, content_type = form(("a", b"1" * 100))
    with pytest.raises(InvalidRequest, match="broke off"):
        read(io.BytesIO(body[: length - 4 if length < 0 else length]), content_type)


def test_a_broken_connection_is_an_invalid_request() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise ConnectionResetError

    with pytest.raises(InvalidRequest, match="broke off"):
        read(Broken(), "multipart/form-data; boundary=b")


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "multipart/form-data", "multipart/form-data; boundary=ü", "multipart/mixed; boundary=b"],
)
def test_a_body_that_is_not_a_form_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidRequest, match="multipart/form-data"):
        read(io.BytesIO(b"{}"), content_type)


def test_a_part_of_another_name_is_refused() -> None:
    body, content_type = form(("a", b"1"), name="audio")
    with pytest.raises(InvalidRequest, match="audio: unknown part"):
        read(io.BytesIO(body), content_type)


def test_too_many_parts_are_refused() -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n1\r\n'
    with pytest.raises(InvalidRequest, match="more than 1000 files; send them in several forms"):
        read(io.BytesIO(part * (MAX_PARTS + 1) + b"--b--\r\n"), "multipart/form-data; boundary=b")


def test_a_part_with_a_long_head_is_refused() -> None:
    body = SlowBody(b"--b\r\nX-Long: " + b"x" * 10**7, READ_BYTES)
    with pytest.raises(InvalidRequest, match="head"):
        read(body, "multipart/form-data; boundary=b")
    assert body.tell() < 3 * READ_BYTES


def test_preamble_and_epilogue_are_skipped() -> None:
    body, content_type = form(("a", b"1"))
    assert read(io.BytesIO(b"preamble\r\n" + body + b"epilogue"), content_type) == [("a", b"1")]
    assert read(io.BytesIO(body.rstrip(b"\r\n")), content_type) == [("a", b"1")]


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        ('filename="Pr\u00fcfung.wav"', "Pr\u00fcfung.wav"),
        ("filename*=utf-8''Pr%C3%BCfung.wav", "Pr\u00fcfung.wav"),
        ('filename=""', ""),
        ("filename=a.wav", "a.wav"),
    ],
)
def test_file_names_are_read_as_clients_write_them(disposition: str, filename: str) -> None:
    body = f'--b\r\ncontent-disposition: form-data; name="files"; {disposition}\r\n\r\n1\r\n--b--\r\n'
    assert read(io.BytesIO(body.encode()), 'multipart/form-data; boundary="b"') == [(filename, b"1")]


def test_a_head_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="UTF-8"):
        read(io.BytesIO(b"--b\r\nX: \xff\r\n\r\n1\r\n--b--"), "multipart/form-data; boundary=b")
