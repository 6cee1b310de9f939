"""Every domain error: a class, a stable code, and a docstring that says what it means.

The message is a sentence for the person who can mend it. HTTP statuses are given in ``api/errors.py`` alone.
"""

from __future__ import annotations


class ApplianceError(Exception):
    """Something the appliance can name went wrong."""

    code = "appliance_error"


# --- configuration and start-up -------------------------------------------------------------------------------------


class ConfigurationError(ApplianceError):
    """A setting, a data folder or the machine does not allow the appliance to start."""

    code = "configuration_error"


class DataFolderInUse(ConfigurationError):
    """Another appliance is serving this data folder."""

    code = "data_folder_in_use"


# --- what a client asks for -----------------------------------------------------------------------------------------


class InvalidRequest(ApplianceError):
    """The request is malformed or out of range; the message names the field."""

    code = "invalid_request"


class UnsupportedContentType(InvalidRequest):
    """The declared content type is none of the seven audio formats."""

    code = "unsupported_content_type"


class FileTooLarge(ApplianceError):
    """The declared or uploaded size is over the limit."""

    code = "file_too_large"


class Unauthorized(ApplianceError):
    """The API key is missing, unknown or revoked."""

    code = "unauthorized"


class Forbidden(ApplianceError):
    """The key is known, but what the request names is another tenant's."""

    code = "forbidden"


class TooManyUploads(ApplianceError):
    """As many uploads as the appliance takes in at once are under way; the request can be repeated."""

    code = "too_many_uploads"


class NotFound(ApplianceError):
    """There is no such object, or it belongs to another tenant."""

    code = "not_found"


class Conflict(ApplianceError):
    """The object's state does not allow this now."""

    code = "conflict"


class NotUploaded(Conflict):
    """The upload was confirmed before the object reached storage."""

    code = "not_uploaded"


class NotReady(Conflict):
    """The audio has not been processed this far, or failed on the way."""

    code = "not_ready"


class JobCancelled(Conflict):
    """The job was cancelled and takes no further files."""

    code = "job_cancelled"


class SizeMismatch(InvalidRequest):
    """The uploaded object does not have the size that was declared."""

    code = "size_mismatch"


# --- webhooks -------------------------------------------------------------------------------------------------------


class CallbackRefused(ApplianceError):
    """A callback URL is malformed, or leads where the operator's networks do not allow."""

    code = "callback_refused"


class CallbackFailed(ApplianceError):
    """A receiver of webhooks cannot be reached, or does not answer in time."""

    code = "callback_failed"


# --- audio ----------------------------------------------------------------------------------------------------------


class AudioError(ApplianceError):
    """A recording cannot be analysed. The message is the sentence its owner needs."""

    code = "audio_error"


class EmptyFile(AudioError):
    """The file has no bytes."""

    code = "empty_file"


class CorruptAudio(AudioError):
    """The bytes are not a readable recording."""

    code = "corrupt_audio"


class NoAudioStream(AudioError):
    """The container is readable but holds no audio."""

    code = "no_audio_stream"


class UnsupportedAudio(AudioError):
    """The container or codec is none that the appliance decodes, or its rate or channels are out of range."""

    code = "unsupported_audio"


class AudioTooShort(AudioError):
    """The recording lasts less than 100 ms."""

    code = "audio_too_short"


class AudioTooLong(AudioError):
    """The decoded recording is longer than the configured limit."""

    code = "audio_too_long"


class DecoderDied(AudioError):
    """The decoder process crashed, hung or outgrew its limits on this file."""

    code = "decoder_died"


# --- models ---------------------------------------------------------------------------------------------------------


class ModelError(ApplianceError):
    """A model cannot be used."""

    code = "model_error"


class ModelNotFound(ModelError):
    """No such model or version is in the model store."""

    code = "model_not_found"


class InvalidManifest(ModelError):
    """The manifest is malformed or contradicts the graph; the message names the field."""

    code = "invalid_manifest"


class ModelExists(ModelError):
    """This version is in the model store already, with other content."""

    code = "model_exists"


class ProviderUnavailable(ModelError):
    """The execution provider that was asked for does not load on this machine."""

    code = "provider_unavailable"


class ScoringFailed(ModelError):
    """The model could not score a batch, or its scores are not finite numbers of the promised shape."""

    code = "scoring_failed"


# --- storage --------------------------------------------------------------------------------------------------------


class StorageError(ApplianceError):
    """Object storage refused or failed a request."""

    code = "storage_error"


class ObjectMissing(StorageError):
    """There is no object under this key."""

    code = "object_missing"


class ObjectChanged(StorageError):
    """The object was replaced after its upload was confirmed."""

    code = "object_changed"


class StorageUnavailable(StorageError):
    """Object storage does not answer; it may later."""

    code = "storage_unavailable"


# --- state ----------------------------------------------------------------------------------------------------------


class StateError(ApplianceError):
    """The database refused a change."""

    code = "state_error"


class LeaseLost(StateError):
    """The work was taken over: this worker's lease ran out, or its file was cancelled."""

    code = "lease_lost"


class DatabaseBusy(StateError):
    """The database stayed locked beyond its timeout; the request can be repeated."""

    code = "database_busy"
