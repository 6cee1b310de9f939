"""Datasets and their audio over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response
from flask_openapi import APIBlueprint, Tag

from appliance.api import dataset_schemas as schemas
from appliance.api.context import box, origin, require_key, similarity, tenant_id
from appliance.api.looking import IMMUTABLE, looking, whole_file
from appliance.api.looking_schemas import ClipQuery
from appliance.api.pages import page_answer, read_page
from appliance.api.schemas import NumberedPage
from appliance.engine.decode.decoder import Clip
from appliance.errors import InvalidRequest
from appliance.rfc3339 import rfc3339
from appliance.services.clip_files import picture, wav
from appliance.services.datasets import audio as dataset_audio
from appliance.services.datasets import datasets
from appliance.services.datasets.similarity import Neighbor
from appliance.state.audio import Audio
from appliance.state.datasets import ArtifactType, Dataset

blueprint = APIBlueprint(
    "datasets",
    __name__,
    url_prefix="/api/v1/datasets",
    abp_tags=[Tag(name="datasets", description="Collections of audio to annotate and to search.")],
    abp_security=[{"api_key": []}],
)
blueprint.before_request(require_key)

Answer = tuple[dict[str, Any], int]
BYTES = {"schema": {"type": "string", "format": "binary"}}


@blueprint.post("", responses={201: schemas.Dataset})
def create_dataset(body: schemas.CreateDataset) -> Answer:
    """Create a dataset."""
    types = artifact_types(body.artifact_types)
    return render_dataset(datasets.create_dataset(box(), tenant_id(), body.name, body.description, types)), 201


@blueprint.get("", responses={200: schemas.DatasetPage})
def list_datasets(query: NumberedPage) -> Answer:
    """List datasets, newest first."""
    window = read_page(query)
    rows, next_place = datasets.list_datasets(box(), tenant_id(), window.place, window.limit, window.offset)

    def count() -> int:
        return datasets.count_datasets(box(), tenant_id())

    return page_answer(("datasets", "items"), [*map(render_dataset, rows)], window, next_place, count), 200


@blueprint.get("/<dataset_id>", responses={200: schemas.Dataset})
def get_dataset(path: schemas.DatasetPath) -> Answer:
    """Get a dataset."""
    return render_dataset(datasets.find_dataset(box(), tenant_id(), path.dataset_id)), 200


@blueprint.patch("/<dataset_id>", responses={200: schemas.Dataset})
def change_dataset(path: schemas.DatasetPath, body: schemas.ChangeDataset) -> Answer:
    """Change a dataset's name, description or artifact types."""
    types = None if body.artifact_types is None else artifact_types(body.artifact_types)
    dataset = datasets.change_dataset(box(), tenant_id(), path.dataset_id, body.name, body.description, types)
    return render_dataset(dataset), 200


@blueprint.delete("/<dataset_id>", responses={204: None})
def delete_dataset(path: schemas.DatasetPath) -> tuple[str, int]:
    """Delete a dataset with its audio."""
    datasets.delete_dataset(box(), tenant_id(), path.dataset_id)
    return "", 204


@blueprint.post("/<dataset_id>/audio/upload-url", responses={200: schemas.AudioUpload})
def request_audio_upload_url(path: schemas.DatasetPath, body: schemas.RequestAudioUpload) -> Answer:
    """Request a form that uploads one file straight to object storage."""
    upload = dataset_audio.request_upload(
        box(),
        tenant_id(),
        path.dataset_id,
        filename=body.filename,
        content_type=body.content_type,
        size_bytes=body.file_size,
        origin=origin(),
        group_name=body.group,
    )
    return {
        "upload_url": upload.form.url,
        "fields": upload.form.fields,
        "audio_id": upload.file_id,
        "expires_in": upload.expires_seconds,
    }, 200


@blueprint.post("/<dataset_id>/audio/confirm", responses={200: schemas.AudioConfirmation})
def confirm_audio_upload(path: schemas.DatasetPath, body: schemas.ConfirmAudioUpload) -> Answer:
    """Confirm an upload, which starts its processing."""
    dataset_audio.confirm_upload(box(), tenant_id(), path.dataset_id, body.audio_id)
    message = "Upload confirmed. Processing started."
    return {"audio_id": body.audio_id, "status": "normalizing", "message": message}, 200


@blueprint.get("/<dataset_id>/audio", responses={200: schemas.AudioPage})
def list_audio(path: schemas.DatasetPath, query: schemas.ListAudio) -> Answer:
    """List a dataset's audio, newest first."""
    window = read_page(query)
    rows, next_place = dataset_audio.list_audio(
        box(),
        tenant_id(),
        path.dataset_id,
        status=query.status,
        before=window.place,
        limit=window.limit,
        offset=window.offset,
    )

    def count() -> int:
        return dataset_audio.count_audio(box(), tenant_id(), path.dataset_id, query.status)

    return page_answer(("audio", "items"), [*map(render_audio, rows)], window, next_place, count), 200


@blueprint.get("/<dataset_id>/audio/<audio_id>", responses={200: schemas.Audio})
def get_audio(path: schemas.AudioPath) -> Answer:
    """Get audio and the progress of its processing."""
    return render_audio(dataset_audio.find_audio(box(), tenant_id(), path.dataset_id, path.audio_id)), 200


@blueprint.patch("/<dataset_id>/audio/<audio_id>", responses={200: schemas.Audio})
def change_audio(path: schemas.AudioPath, body: schemas.ChangeAudio) -> Answer:
    """Put audio into a group, or in none."""
    audio = dataset_audio.set_group(box(), tenant_id(), path.dataset_id, path.audio_id, body.group)
    return render_audio(audio), 200


@blueprint.delete("/<dataset_id>/audio/<audio_id>", responses={204: None})
def delete_audio(path: schemas.AudioPath) -> tuple[str, int]:
    """Delete audio with everything derived from it."""
    dataset_audio.delete_audio(box(), tenant_id(), path.dataset_id, path.audio_id)
    return "", 204


@blueprint.get("/<dataset_id>/audio/<audio_id>/download-url", responses={200: schemas.AudioDownload})
def get_audio_download_url(path: schemas.AudioPath, query: schemas.DownloadAudio) -> Answer:
    """Get a URL of the original, or of the normalized file."""
    url, expires_in = dataset_audio.download_url(
        box(), tenant_id(), path.dataset_id, path.audio_id, normalized=query.normalized, origin=origin()
    )
    return {"download_url": url, "expires_in": expires_in}, 200


@blueprint.get("/<dataset_id>/audio/<audio_id>/clip", responses={200: {"content": {"audio/wav": BYTES}}})
def get_audio_clip(path: schemas.AudioPath, query: ClipQuery) -> Response:
    """Get up to 30 s of the normalized file, 16 kHz and mono, as WAV."""
    return whole_file(wav(clip_of(path, query), box().settings.data_dir), "audio/wav")


@blueprint.get("/<dataset_id>/audio/<audio_id>/spectrogram.png", responses={200: {"content": {"image/png": BYTES}}})
def get_audio_spectrogram(path: schemas.AudioPath, query: ClipQuery) -> Response:
    """Get the spectrogram of up to 30 s of the normalized file: 256 pixels high, scaled as the tiles of jobs."""
    return Response(picture(clip_of(path, query)), mimetype="image/png", headers={"Cache-Control": IMMUTABLE})


def clip_of(path: schemas.AudioPath, query: ClipQuery) -> Clip:
    """Return the stretch that a client wants to hear or see."""
    if query.start_ms >= query.end_ms:
        raise InvalidRequest("end_ms: must be after start_ms.")
    ids = (tenant_id(), path.dataset_id, path.audio_id)
    return dataset_audio.clip(box(), looking().viewers, *ids, query.start_ms, query.end_ms)


@blueprint.get("/<dataset_id>/audio/<audio_id>/similar", responses={200: schemas.SimilarList})
def find_similar_audio(path: schemas.AudioPath, query: schemas.FindSimilar) -> Answer:
    """Find the recordings that sound most alike."""
    neighbors = similarity().similar(
        tenant_id(), path.dataset_id, path.audio_id, k=query.k, within=query.dataset_id, by=query.by
    )
    return {"similar": [render_neighbor(neighbor) for neighbor in neighbors]}, 200


def artifact_types(rows: list[schemas.ArtifactType]) -> list[ArtifactType]:
    """Return the artifact types that a body defines."""
    return [ArtifactType(row.name, row.description, row.color) for row in rows]


def render_dataset(dataset: Dataset) -> dict[str, Any]:
    """Return the JSON of a dataset."""
    return {
        "id": dataset.id,
        "name": dataset.name,
        "description": dataset.description,
        "artifact_types": [asdict(artifact_type) for artifact_type in dataset.artifact_types],
        "audio_count": dataset.num_audio,
        "annotation_set_count": dataset.num_annotation_sets,
        "created_at": rfc3339(dataset.created_at),
        "updated_at": rfc3339(dataset.updated_at),
    }


def render_audio(audio: Audio) -> dict[str, Any]:
    """Return the JSON of audio."""
    return {
        "id": audio.id,
        "audio_id": audio.id,
        "dataset_id": audio.dataset_id,
        "original_filename": audio.original_filename,
        "content_type": audio.content_type,
        "processing_status": audio.status,
        "processing_error": audio.error_message,
        "error_code": audio.error_code,
        "duration_ms": audio.duration_ms,
        "sample_rate_hz": audio.sample_rate_hz,
        "channels": audio.num_channels,
        "codec": audio.codec,
        "size_bytes": audio.declared_size_bytes,
        "sha256": audio.sha256,
        "group": audio.group_name,
        "created_at": rfc3339(audio.created_at),
    }


def render_neighbor(neighbor: Neighbor) -> dict[str, Any]:
    """Return the JSON of a similar recording."""
    recording = neighbor.recording
    return {
        "audio_id": recording.id,
        "dataset_id": recording.dataset_id,
        "original_filename": recording.original_filename,
        "similarity": neighbor.similarity,
    }
