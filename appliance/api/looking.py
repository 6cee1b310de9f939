"""What shows and plays the recordings of inference jobs over HTTP: clips, envelopes, spectrograms."""

from __future__ import annotations

from typing import IO, Any, cast

from flask import Response, current_app, request
from flask_openapi import APIBlueprint, Tag
from werkzeug.wsgi import wrap_file

from appliance.api import looking_schemas as schemas
from appliance.api.context import origin, require_key, tenant_id
from appliance.api.schemas import FilePath
from appliance.engine.decode import spectrogram as tiles
from appliance.errors import InvalidRequest
from appliance.services.inference import clips, spectrograms, waveforms
from appliance.services.inference.waveforms import Looking

blueprint = APIBlueprint(
    "looking",
    __name__,
    url_prefix="/api/v1/inference-jobs/<job_id>/files/<file_id>",
    abp_tags=[Tag(name="looking", description="What a person looks at and listens to.")],
    abp_security=[{"api_key": []}],
)
blueprint.before_request(require_key)

Answer = tuple[dict[str, Any], int]
IMMUTABLE = "private, max-age=31536000, immutable"  # the recording of a file never changes


def looking() -> Looking:
    """Return what this process shows recordings with."""
    shown: Looking = current_app.extensions["looking"]
    return shown


@blueprint.get("/clip", responses={200: {"content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}}})
def get_clip(path: FilePath, query: schemas.ClipQuery) -> Response:
    """Get up to 30 s of a recording as WAV, exact to the sample, with its own rate and channels."""
    if query.start_ms >= query.end_ms:
        raise InvalidRequest("end_ms: must be after start_ms.")
    file = clips.clip(looking(), tenant_id(), path.job_id, path.file_id, query.start_ms, query.end_ms)
    return whole_file(file, "audio/wav")


@blueprint.get("/waveform", responses={200: schemas.Waveform})
def get_waveform(path: FilePath) -> Answer:
    """Get the levels of a recording's envelope and where to read them; 503 while it is made for the first time."""
    shown = waveforms.waveform(looking(), tenant_id(), path.job_id, path.file_id, origin())
    info, num_samples = shown.outline.info, shown.outline.num_samples
    return {
        "sample_rate_hz": info.sample_rate_hz,
        "num_channels": info.num_channels,
        "num_samples": num_samples,
        "duration_ms": -(-1000 * num_samples // info.sample_rate_hz),
        "expires_in": shown.expires_seconds,
        "levels": [
            {
                "samples_per_pixel": level.samples_per_pixel,
                "length": level.num_pixels,
                "url": shown.url,
                "offset": level.offset,
                "size_bytes": level.size_bytes,
            }
            for level in shown.levels
        ],
    }, 200


@blueprint.get("/spectrogram", responses={200: schemas.Spectrogram})
def get_spectrogram(path: FilePath) -> Answer:
    """Get the scales and the levels of a recording's spectrogram; 503 while the recording is first read."""
    shown = spectrograms.describe(looking(), tenant_id(), path.job_id, path.file_id)
    rate = shown.outline.info.sample_rate_hz
    return {
        "sample_rate_hz": rate,
        "num_samples": shown.outline.num_samples,
        "tile_width": tiles.WIDTH,
        "tile_height": tiles.HEIGHT,
        "min_hz": tiles.LOWEST_HZ,
        "max_hz": rate / 2,
        "min_db": tiles.LOWEST_DB,
        "max_db": tiles.HIGHEST_DB,
        "levels": [{"level": number} | vars(level) for number, level in enumerate(shown.levels)],
    }, 200


@blueprint.get(
    "/spectrogram/<level>/<index>.png",
    responses={200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}},
)
def get_tile(path: schemas.TilePath) -> Response:
    """Get a tile of a recording's spectrogram; 503 while it is made."""
    content = spectrograms.tile(looking(), tenant_id(), path.job_id, path.file_id, path.level, path.index)
    return Response(content, mimetype="image/png", headers={"Cache-Control": IMMUTABLE})


def whole_file(file: IO[bytes], media_type: str) -> Response:
    """Return an open file as an answer that browsers may keep, and close it then."""
    size = file.seek(0, 2)
    file.seek(0)
    response = Response(wrap_file(request.environ, cast(Any, file)), mimetype=media_type, direct_passthrough=True)
    response.headers["Cache-Control"] = IMMUTABLE
    response.content_length = size
    response.call_on_close(file.close)
    return response
