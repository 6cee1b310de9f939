"""File names as Content-Disposition headers."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.storage.disposition import content_disposition


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("take 1.wav", 'attachment; filename="take 1.wav"'),
        ("naïve.wav", "attachment; filename=\"naive.wav\"; filename*=UTF-8''na%C3%AFve.wav"),
        ("音.flac", "attachment; filename=\"_.flac\"; filename*=UTF-8''%E9%9F%B3.flac"),
        ('a"b\\c.wav', 'attachment; filename="c.wav"'),
        ("../../etc/passwd", 'attachment; filename="passwd"'),
        ("a\r\nSet-Cookie: x", 'attachment; filename="aSet-Cookie: x"'),
        ("..", 'attachment; filename="download"'),
        ("", 'attachment; filename="download"'),
        ("evil\u202evaw.exe", 'attachment; filename="evilvaw.exe"'),
        ("50%25.wav", "attachment; filename=\"50_25.wav\"; filename*=UTF-8''50%2525.wav"),
    ],
)
def test_a_name_becomes_a_header(name: str, header: str) -> None:
    assert content_disposition(name) == header


@given(st.text(max_size=400))
def test_any_name_makes_a_safe_header(name: str) -> None:
    header = content_disposition(name)
    form = r'attachment; filename="([ !#$&-\[\]-~]+)"(?:; filename\*=UTF-8\'\'([A-Za-z0-9!#$&+^`|_.~%-]+))?'
    match = re.fullmatch(form, header)
    assert match, header
    assert "/" not in unquote(match[2] or match[1])
    assert len(unquote(match[2] or match[1])) <= 200
