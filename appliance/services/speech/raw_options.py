"""What a client of the raw door may ask for beside the audio: what is honoured here, and nothing else in silence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from appliance.errors import InvalidRequest
from appliance.services.box import Box
from appliance.services.speech.transcripts import resolve_model

ENGLISH = ("en", "en_us", "en_uk", "en_au")
BEST = "best"  # names no model, but a wish: the one that the appliance has


def refuse(options: dict[str, Any]) -> None:
    """Raise InvalidRequest naming every option that asks for something; false, null and empty ask for nothing."""
    asked = [name for name, value in options.items() if _asks(value)]
    if asked:
        raise InvalidRequest(f"{', '.join(sorted(asked))}: not supported by this appliance.")


def check_language(field: str, codes: Iterable[str | None]) -> None:
    """Raise InvalidRequest for a language other than English, which is what the model hears."""
    for code in codes:
        if code is not None and code.lower() not in ENGLISH:
            raise InvalidRequest(f"{field}: {code!r} is not supported by this appliance; {', '.join(ENGLISH)} are.")


def check_always(field: str, value: bool | None) -> None:
    """Raise InvalidRequest where what the model always does is to be left out."""
    if value is False:
        raise InvalidRequest(f"{field}: cannot be turned off on this appliance.")


def choose_model(box: Box, speech_model: str | None, speech_models: list[str] | None) -> str:
    """``<name>@<version>``: the first of the models asked for that is here. Raises InvalidRequest where none is."""
    if speech_model is not None and speech_models:
        raise InvalidRequest("speech_models: cannot be given together with speech_model.")
    field = "speech_models" if speech_models else "speech_model"
    wanted = speech_models or [speech_model or BEST]
    for position, name in enumerate(wanted, start=1):
        try:
            return resolve_model(box, box.settings.transcription_model if name == BEST else name, field)
        except InvalidRequest:
            if position == len(wanted):
                raise
    raise InvalidRequest(f"{field}: names no model.")


def _asks(value: object) -> bool:
    return value is not None and value is not False and value not in ([], {}, "")
