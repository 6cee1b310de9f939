"""Every status and every move between statuses, once: for the code, for SQL and for ``docs/states.md``.

A move that is not listed here is refused twice: ``Transaction.move`` raises, and a trigger refuses whatever else
updates a status. The CHECK of each status column is made from the same lists (``checks.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

FileStatus = Literal["pending", "queued", "processing", "completed", "failed", "cancelled"]
AudioStatus = Literal["pending", "normalizing", "embedding", "ready", "failed"]
AnnotationSetStatus = Literal["draft", "published"]
MediaStatus = Literal["pending", "spooled", "stored", "failed"]
TranscriptStatus = Literal["waiting", "queued", "processing", "completed", "failed"]
TrainingStatus = Literal[
    "queued", "preparing", "fitting", "evaluating", "exporting", "completed", "failed", "cancelled"
]
DeliveryStatus = Literal["pending", "delivered", "failed"]
Route = Literal["raw", "batch", "presigned"]  # by which speech route media and transcripts came; it never changes
JobStatus = Literal["pending", "processing", "completed", "failed", "cancelled"]  # derived from the files, never kept


@dataclass(frozen=True)
class Move:
    """A change of status, and when it happens."""

    leaving: str
    entering: str
    when: str


@dataclass(frozen=True)
class Machine:
    """The life of one kind of row: the statuses of ``table``, those a new row may have, and the moves between them."""

    name: str
    table: str
    statuses: tuple[str, ...]
    initial: tuple[str, ...]
    moves: tuple[Move, ...]
    stamped: bool = True  # the table has a column updated_at

    @property
    def ends(self) -> tuple[str, ...]:
        """The statuses that no move leaves."""
        leaving = {move.leaving for move in self.moves}
        return tuple(status for status in self.statuses if status not in leaving)

    def allows(self, leaving: str, entering: str) -> bool:
        """Whether the move is listed."""
        return any((move.leaving, move.entering) == (leaving, entering) for move in self.moves)

    def leaving_for(self, entering: str) -> tuple[str, ...]:
        """Every status from which a row may move to ``entering``."""
        return tuple(move.leaving for move in self.moves if move.entering == entering)


FILE = Machine(
    name="File of an inference job",
    table="inference_files",
    statuses=get_args(FileStatus),
    initial=("pending",),
    moves=(
        Move("pending", "queued", "The upload is confirmed, or the sweep finds it in storage."),
        Move("pending", "failed", "The upload form expired unused, or the file has another size than declared."),
        Move("failed", "queued", "An upload that ended after its form had expired is found or confirmed."),
        Move("pending", "cancelled", "The job is cancelled."),
        Move("queued", "processing", "A worker claims the file."),
        Move("queued", "failed", "The confirmed upload was replaced or deleted before it was copied."),
        Move("queued", "cancelled", "The job is cancelled."),
        Move("processing", "completed", "The detections are stored."),
        Move("processing", "failed", "The file cannot be analyzed, or its tries are used up."),
        Move("processing", "queued", "The lease ran out, or the work is to be tried again."),
        Move("processing", "cancelled", "The job is cancelled."),
    ),
)

AUDIO = Machine(
    name="Audio of a dataset",
    table="audio",
    statuses=get_args(AudioStatus),
    initial=("pending",),
    moves=(
        Move("pending", "normalizing", "The upload is confirmed, or the sweep finds it in storage."),
        Move("pending", "failed", "The upload form expired unused, or the file has another size than declared."),
        Move("failed", "normalizing", "An upload that ended after its form had expired is found or confirmed."),
        Move("normalizing", "embedding", "The 16 kHz mono WAV is stored."),
        Move("normalizing", "failed", "The recording cannot be normalized, or its tries are used up."),
        Move("embedding", "ready", "The vectors are stored."),
        Move("embedding", "failed", "The recording cannot be embedded, or its tries are used up."),
    ),
)

ANNOTATION_SET = Machine(
    name="Annotation set of a dataset",
    table="annotation_sets",
    statuses=get_args(AnnotationSetStatus),
    initial=("draft",),
    moves=(Move("draft", "published", "The client publishes the set, which never changes again."),),
)

MEDIA = Machine(
    name="Media of the speech routes",
    table="media",
    statuses=get_args(MediaStatus),
    initial=("pending", "spooled"),
    moves=(
        Move("pending", "stored", "The bytes are in storage: an event, the sweep, the end of a raw body or a fetch."),
        Move("pending", "failed", "The upload URL expired unused, a fetch failed, or the file is empty or too large."),
        Move("spooled", "stored", "A file of a batch is copied from the local disk to storage."),
        Move("spooled", "failed", "The file of a batch is no longer on the local disk."),
    ),
)

TRANSCRIPT = Machine(
    name="Transcript",
    table="transcripts",
    statuses=get_args(TranscriptStatus),
    initial=("waiting", "queued"),
    moves=(
        Move("waiting", "queued", "Its media is stored."),
        Move("waiting", "failed", "Its media failed."),
        Move("queued", "processing", "A worker claims it."),
        Move("processing", "completed", "The result is stored."),
        Move("processing", "failed", "The media cannot be transcribed, or its tries are used up."),
        Move("processing", "queued", "The lease ran out, or the work is to be tried again."),
    ),
)

DELIVERY = Machine(
    name="Webhook delivery",
    table="webhook_deliveries",
    stamped=False,
    statuses=get_args(DeliveryStatus),
    initial=("pending",),
    moves=(
        Move("pending", "delivered", "The receiver answered with a status from 200 to 299."),
        Move("pending", "failed", "The receiver answered 410, or the last try failed."),
        Move("failed", "pending", "A client asks for one more try."),
    ),
)

_PHASES = ("queued", "preparing", "fitting", "evaluating", "exporting")

TRAINING = Machine(
    name="Training job",
    table="training_jobs",
    statuses=get_args(TrainingStatus),
    initial=("queued",),
    moves=(
        Move("queued", "preparing", "The worker begins: it reads the recordings."),
        Move("preparing", "fitting", "The features of all recordings are there."),
        Move("fitting", "evaluating", "The network is fitted."),
        Move("evaluating", "exporting", "What was held out is scored."),
        Move("exporting", "completed", "The model is the tenant's, with its report."),
        *(Move(phase, "failed", "The training is refused, or its tries are used up.") for phase in _PHASES),
        *(Move(phase, "cancelled", "The client cancels the training.") for phase in _PHASES),
    ),
)

MACHINES = (FILE, AUDIO, ANNOTATION_SET, MEDIA, TRANSCRIPT, DELIVERY, TRAINING)
