"""Options of the raw route: which are refused, and how the refusal names them."""

from __future__ import annotations

import pytest

from appliance.errors import InvalidRequest
from appliance.services.box import Box
from appliance.services.speech import raw_options
from tests.services.speech.arrivals import model_of
from tests.support.boxes import SPEECH_MODEL


@pytest.mark.parametrize("value", [None, False, "", [], {}])
def test_an_option_that_requests_nothing_is_accepted(value: object) -> None:
    raw_options.refuse({"speaker_labels": value})


@pytest.mark.parametrize("value", [True, 1, 0, 0.0, "x", [None], {"a": None}])
def test_an_option_that_requests_something_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidRequest, match="speaker_labels: not supported"):
        raw_options.refuse({"speaker_labels": value, "summarization": False})


def test_a_refusal_names_every_option_in_alphabetical_order() -> None:
    with pytest.raises(InvalidRequest, match="a, b, c: not supported"):
        raw_options.refuse({"c": True, "a": "x", "d": None, "b": [1]})


@pytest.mark.parametrize("code", [None, "en", "EN", "en_us", "en_UK", "en_au"])
def test_english_is_accepted(code: str | None) -> None:
    raw_options.check_language("language_code", [code])


@pytest.mark.parametrize("codes", [["de"], ["en", "es"], [""], ["english"]])
def test_another_language_is_refused(codes: list[str]) -> None:
    with pytest.raises(InvalidRequest, match=f"^language_codes: {codes[-1]!r} is not supported"):
        raw_options.check_language("language_codes", codes)


def test_what_the_model_always_does_cannot_be_turned_off() -> None:
    for value in (None, True):
        raw_options.check_always("punctuate", value)
    with pytest.raises(InvalidRequest, match="punctuate: cannot be turned off"):
        raw_options.check_always("punctuate", False)


@pytest.mark.parametrize(
    ("speech_model", "speech_models"),
    [
        (None, None),
        (None, []),
        ("best", None),
        (SPEECH_MODEL, None),
        (None, ["best"]),
        (None, ["none", SPEECH_MODEL]),
        (None, ["loud-frames", "best", "none"]),
    ],
)
def test_the_first_installed_model_is_chosen(
    box: Box, speech_model: str | None, speech_models: list[str] | None
) -> None:
    assert raw_options.choose_model(box, 1, speech_model, speech_models) == model_of(box)


@pytest.mark.parametrize(
    ("speech_model", "speech_models", "message"),
    [
        ("none", None, "speech_model: There is no model 'none'"),
        ("loud-frames", None, "speech_model: loud-frames@.* is for detection"),
        (None, ["loud-frames", "none"], "speech_models: There is no model 'none'"),
        ("best", ["best"], "speech_models: cannot be combined with speech_model"),
    ],
)
def test_a_choice_without_an_installed_model_is_refused(
    box: Box, speech_model: str | None, speech_models: list[str] | None, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        raw_options.choose_model(box, 1, speech_model, speech_models)
