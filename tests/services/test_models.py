"""The list of models, and the provider that each runs on."""

from __future__ import annotations

import pytest

from appliance.errors import ModelNotFound
from appliance.services import models
from appliance.services.box import Box
from appliance.services.work import leases
from tests.support.boxes import SPEECH_MODEL


def test_models_are_listed_by_name_with_the_newest_version_first(box: Box) -> None:
    names = [(report.manifest.name, report.manifest.version) for report in models.list_models(box)]
    assert names[:3] == [("loud-frames", "1.0.0"), ("loud-frames", "0.9.0"), ("loud-windows", "1.0.0")]
    assert names[3][0] == SPEECH_MODEL


def test_no_provider_is_known_before_a_worker_started(box: Box) -> None:
    assert {report.provider for report in models.list_models(box)} == {None}


@pytest.mark.parametrize("provider", ["cuda", "cpu"])
def test_transcription_runs_on_the_cpu_whatever_the_worker_runs_on(box: Box, provider: str) -> None:
    leases.start_worker(box, "w", provider)
    assert models.get_model(box, "loud-frames").provider == provider
    assert models.get_model(box, SPEECH_MODEL).provider == "cpu"


def test_a_model_is_found_by_name_or_by_version(box: Box) -> None:
    assert models.get_model(box, "loud-frames").manifest.version == "1.0.0"
    assert models.get_model(box, "loud-frames@0.9.0").manifest.version == "0.9.0"
    for model_id in ("none", "loud-frames@2", "", "@1.0.0"):
        with pytest.raises(ModelNotFound):
            models.get_model(box, model_id)
