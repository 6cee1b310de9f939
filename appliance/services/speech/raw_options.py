"""Options of a transcript on the raw route: the supported ones are checked, any other is refused by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from appliance.errors import InvalidRequest
from appliance.services.box import Box
from appliance.services.speech.transcripts import resolve_model

ENGLISH = ("en", "en_us", "en_uk", "en_au")
# Options that an answer repeats. Those of the webhook are kept apart: one is a secret.
SHOWN = (
    *("language_code", "language_codes", "language_detection", "punctuate", "format_text"),
    *("speech_model", "speech_models"),
)
# Models of the hosted service. Each means the appliance's own model for transcription; the answer names that model.
HOSTED_MODELS = (
    *("best", "nano", "slam-1", "universal", "universal-2"),
    *("universal-3-pro", "universal-3-5-pro"),
)


def refuse(options: dict[str, Any]) -> None:
    """Raise InvalidRequest naming every option that requests something; false, null and empty values do not."""
    refused = [name for name, value in options.items() if _requests_something(value)]
    if refused:
        raise InvalidRequest(f"{', '.join(sorted(refused))}: not supported by this appliance.")


def check_language(field: str, codes: Iterable[str | None]) -> None:
    """Raise InvalidRequest for a language other than English, the only one that the model transcribes."""
    for code in codes:
        if code is not None and code.lower() not in ENGLISH:
            raise InvalidRequest(f"{field}: {code!r} is not supported by this appliance; {', '.join(ENGLISH)} are.")


def check_always(field: str, value: bool | None) -> None:
    """Raise InvalidRequest if the client turns off something that the model always does."""
    if value is False:
        raise InvalidRequest(f"{field}: cannot be turned off on this appliance.")


def choose_model(box: Box, tenant_id: int, speech_model: str | None, speech_models: list[str] | None) -> str:
    """Return ``<name>@<version>`` of the first requested model that is installed. Raises InvalidRequest if none is.

    A name of the hosted service's models stands for the setting ``transcription_model``.
    """
    if speech_model is not None and speech_models:
        raise InvalidRequest("speech_models: cannot be combined with speech_model.")
    field = "speech_models" if speech_models else "speech_model"
    names = speech_models or [speech_model or HOSTED_MODELS[0]]
    for position, name in enumerate(names, start=1):
        try:
            model_id = box.settings.transcription_model if name in HOSTED_MODELS else name
            return resolve_model(box, tenant_id, model_id, field)
        except InvalidRequest:
            if position == len(names):
                raise
    raise InvalidRequest(f"{field}: names no model.")


def _requests_something(value: object) -> bool:
    return value is not None and value is not False and value not in ([], {}, "")
