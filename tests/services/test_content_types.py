"""Content types: the seven, their aliases, and everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import UnsupportedContentType
from appliance.services.content_types import ALIASES, EXTENSIONS, canonical_content_type, known_content_type

TYPES = {content_type: content_type for content_type in EXTENSIONS} | ALIASES
SPACES = st.text(" \t", max_size=2)


def test_every_alias_means_one_of_the_seven_types() -> None:
    assert set(ALIASES.values()) <= set(EXTENSIONS)
    assert ALIASES.keys().isdisjoint(EXTENSIONS)
    assert len(set(EXTENSIONS.values())) == len(EXTENSIONS) == 7


@given(st.sampled_from(sorted(TYPES)), st.data(), SPACES, SPACES, st.sampled_from(["", ";", "; codecs=opus", ";;x"]))
def test_case_spaces_and_parameters_do_not_matter(
    name: str, data: st.DataObject, before: str, after: str, parameters: str
) -> None:
    cased = "".join(data.draw(st.sampled_from([letter.lower(), letter.upper()])) for letter in name)
    declared = f"{before}{cased}{after}{parameters}"
    assert canonical_content_type(declared) == known_content_type(declared) == TYPES[name]


@pytest.mark.parametrize("declared", ["", ";", "audio", "audio/", "text/plain", "audio/wav/x", "audio/wav, audio/flac"])
def test_any_other_type_is_refused_with_the_name_of_the_field(declared: str) -> None:
    with pytest.raises(UnsupportedContentType, match=r"contentType: .* is not one of audio/wav, "):
        canonical_content_type(declared, "contentType")
    assert known_content_type(declared) == "application/octet-stream"


@given(st.text())
def test_any_text_becomes_a_known_type_or_bytes(declared: str) -> None:
    assert known_content_type(declared) in {*EXTENSIONS, "application/octet-stream"}
