"""Every domain error: a class, a stable code, and a docstring that says what it means.

The message is a sentence for the person who can fix the problem. ``http_errors.py`` gives the HTTP statuses.
"""

from __future__ import annotations

import errno


class ApplianceError(Exception):
    """The appliance failed in a way that has no code of its own."""

    code = "appliance_error"


# --- configuration and start-up -------------------------------------------------------------------------------------


class ConfigurationError(ApplianceError):
    """A setting, a data folder or the machine does not allow the appliance to start."""

    code = "configuration_error"


class DataFolderInUse(ConfigurationError):
    """Another appliance is serving this data folder."""

    code = "data_folder_in_use"


class BackupDamaged(ApplianceError):
    """A backup is not complete, or its bytes are not those that were written."""

    code = "backup_damaged"


# --- requests of clients --------------------------------------------------------------------------------------------


class InvalidRequest(ApplianceError):
    """The request is malformed or out of range; the message names the field."""

    code = "invalid_request"


class UnsupportedContentType(InvalidRequest):
    """The declared content type is not one of the seven audio types."""

    code = "unsupported_content_type"


class FileTooLarge(ApplianceError):
    """The declared or uploaded size is over the limit."""

    code = "file_too_large"


class Unauthorized(ApplianceError):
    """The API key is missing, unknown, revoked or expired."""

    code = "unauthorized"


class Forbidden(ApplianceError):
    """The object is another tenant's, the form or URL expired or was changed, or clients may not make the call."""

    code = "forbidden"


class ScopeMissing(ApplianceError):
    """The API key has not the scope that the call needs; access.md lists the scope of each call."""

    code = "scope_missing"


class TenantDisabled(ApplianceError):
    """The tenant of the API key was disabled by an administrator."""

    code = "tenant_disabled"


class TooManyUploads(ApplianceError):
    """The appliance is receiving as many uploads as it can; repeat the request a little later."""

    code = "too_many_uploads"


class TooManyLooks(ApplianceError):
    """As many clips and pictures of recordings are being made as the appliance makes at once; repeat a little later."""

    code = "too_many_looks"


class TooManyCalls(ApplianceError):
    """The tenant has as many slow calls, such as searches and imports, in progress as it may; repeat it later."""

    code = "too_many_calls"


class QuotaExceeded(ApplianceError):
    """The tenant would use more than the operator allows; the message names the limit and the use."""

    code = "quota_exceeded"

    def __init__(self, message: str, retry_seconds: int = 60) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


class NotFound(ApplianceError):
    """There is no such object or path, or the object belongs to another tenant."""

    code = "not_found"


class Conflict(ApplianceError):
    """The state of the object does not allow this now."""

    code = "conflict"


class NotUploaded(Conflict):
    """There is no uploaded object: the upload was never made, or not yet."""

    code = "not_uploaded"


class CannotBePlayed(ApplianceError):
    """The recording cannot be decoded, or the clip is longer than a clip may be; the message says which."""

    code = "cannot_be_played"


class OutsideRecording(ApplianceError):
    """The recording ends before the place that was requested."""

    code = "outside_recording"


class BeingMade(ApplianceError):
    """What was requested is being made from the recording for the first time; repeat the request a little later."""

    code = "being_made"


class NotReady(Conflict):
    """The audio has not been processed this far, or its processing failed."""

    code = "not_ready"


class ScoresNotKept(Conflict):
    """The scores of the file are not kept, or no longer; only a new analysis with the model makes them again."""

    code = "scores_not_kept"


class JobCancelled(Conflict):
    """The job was cancelled and takes no more files."""

    code = "job_cancelled"


class AnnotationRefused(ApplianceError):
    """A label would be both present and absent, or a review ends after its recording or names an undefined label."""

    code = "annotation_refused"


class TrainingRefused(ApplianceError):
    """Choices or annotations of a training are invalid, or too little can be learned from; the message names each."""

    code = "training_refused"


class SizeMismatch(InvalidRequest):
    """The uploaded object does not have the size that was declared."""

    code = "size_mismatch"


# --- URLs of clients ------------------------------------------------------------------------------------------------


class UrlRefused(ApplianceError):
    """A client's URL is malformed, does not resolve, or leads to an address that the operator does not allow."""

    code = "url_refused"


class NameUnresolved(UrlRefused):
    """The host name of a client's URL does not resolve now; it may later."""

    code = "name_unresolved"


class RemoteFailed(ApplianceError):
    """The machine that a client's URL names cannot be reached, or does not answer in time."""

    code = "remote_failed"


class FetchFailed(ApplianceError):
    """A recording cannot be fetched from the URL that the client named."""

    code = "fetch_failed"


# --- audio ----------------------------------------------------------------------------------------------------------


class AudioError(ApplianceError):
    """A recording cannot be analyzed. The message says why, for its owner."""

    code = "audio_error"


class FileUnreadable(AudioError):
    """The operating system cannot read the file; the message says why."""

    code = "file_unreadable"


class EmptyFile(AudioError):
    """The file has no bytes."""

    code = "empty_file"


class CorruptAudio(AudioError):
    """The bytes are not a readable recording."""

    code = "corrupt_audio"


class NoAudioStream(AudioError):
    """The container is readable but contains no audio."""

    code = "no_audio_stream"


class UnsupportedAudio(AudioError):
    """The appliance cannot decode the container or the codec, or the sample rate or channels are out of range."""

    code = "unsupported_audio"


class AudioTooShort(AudioError):
    """The recording is shorter than 100 ms."""

    code = "audio_too_short"


class AudioTooLong(AudioError):
    """The decoded recording is longer than the configured limit."""

    code = "audio_too_long"


class DecoderDied(AudioError):
    """The decoder process crashed, hung or exceeded its limits on this file."""

    code = "decoder_died"


class DecoderKilled(DecoderDied):
    """The decoder process was ended from outside (SIGKILL): by the kernel, because memory is short, or by a person.

    No recording causes this: its limits end a decoder in other ways. So it gets more tries.
    """

    code = "decoder_killed"


# --- models ---------------------------------------------------------------------------------------------------------


class ModelError(ApplianceError):
    """A model cannot be used."""

    code = "model_error"


class ModelNotFound(ModelError):
    """The model store has no such model or version."""

    code = "model_not_found"


class InvalidManifest(ModelError):
    """The manifest is malformed or contradicts the graph; the message names the field."""

    code = "invalid_manifest"


class ModelExists(ModelError):
    """The model store already has this version, with other content."""

    code = "model_exists"


class ProviderUnavailable(ModelError):
    """The requested execution provider does not load on this machine."""

    code = "provider_unavailable"


class ScoringFailed(ModelError):
    """The model failed on a batch, or its scores do not have the promised shape."""

    code = "scoring_failed"


class ScoresNotFinite(ModelError):
    """The model's scores of this recording are not finite numbers; other recordings are not affected."""

    code = "scores_not_finite"


# --- storage --------------------------------------------------------------------------------------------------------


class StorageError(ApplianceError):
    """Object storage refused or failed a request."""

    code = "storage_error"


class ObjectMissing(StorageError):
    """There is no object under this key."""

    code = "object_missing"


class ObjectDamaged(StorageError):
    """Object storage works, but cannot read this object, however often it is tried."""

    code = "object_damaged"


class ObjectChanged(StorageError):
    """The object was replaced after its upload was confirmed."""

    code = "object_changed"


class StorageUnavailable(StorageError):
    """Object storage does not answer now; repeat the request a little later."""

    code = "storage_unavailable"


class StorageFull(StorageUnavailable):
    """The disk of the appliance is full, or would be; repeat the request when there is space again."""

    code = "storage_full"

    @staticmethod
    def is_cause_of(error: Exception) -> bool:
        """Whether an error of the operating system says that the disk is full."""
        return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


# --- state and work -------------------------------------------------------------------------------------------------


class StateError(ApplianceError):
    """The database cannot be read or written, for instance because its disk is full."""

    code = "state_error"


class ChangeRefused(StateError):
    """The change breaks a rule of the database, so it would be refused again."""

    code = "change_refused"


class DatabaseBusy(StateError):
    """The database stayed locked longer than its timeout; repeat the request a little later."""

    code = "database_busy"


class DatabaseDamaged(StateError):
    """The database file is damaged: it must be restored or repaired before the appliance starts."""

    code = "database_damaged"


class LeaseLost(StateError):
    """The lease on the work ran out or the work was cancelled, so this worker may not write its result."""

    code = "lease_lost"


class SubjectGone(StateError):
    """The subject of the work was deleted while the work was in progress."""

    code = "subject_gone"


class UnexpectedStatus(StateError):
    """The subject of the work has a status in which this work cannot end."""

    code = "unexpected_status"


class WorkerLost(ApplianceError):
    """The worker process was lost too many times while it processed this file."""

    code = "worker_lost"


class TrainerDied(ApplianceError):
    """The process that trains crashed, or was killed, too many times."""

    code = "trainer_died"


class EngineLost(ApplianceError):
    """An engine on a node of the cluster was lost, several times while it processed this file."""

    code = "engine_lost"


class NoEngine(StateError):
    """No node of the cluster takes work now; the work waits."""

    code = "no_engine"


class Stopped(ApplianceError):
    """The worker stops; its work is released as it was."""

    code = "stopped"
