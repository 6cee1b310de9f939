"""The tables, as append-only migrations. SQL refuses impossible rows.

Times are seconds since 1970 in UTC (REAL), given by SQLite itself, so that one clock decides.
The lists of statuses below are those of the first release; ``checks.py`` puts today's from ``moves.py`` in their place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlite_utils import Database, Migrations

from appliance.state.checks import name_checks

migrations = Migrations("appliance")


@migrations()
def m001_tenants_and_keys(db: Database) -> None:
    """Tenants and their API keys."""
    _run(
        db,
        """
        CREATE TABLE tenants (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 100),
            created_at REAL NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE api_keys (
            id INTEGER PRIMARY KEY,
            tenant_id INTEGER NOT NULL REFERENCES tenants,
            name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
            key_hash BLOB NOT NULL UNIQUE CHECK (length(key_hash) = 32),
            created_at REAL NOT NULL,
            revoked_at REAL
        ) STRICT
        """,
        "CREATE UNIQUE INDEX api_keys_name ON api_keys (name) WHERE revoked_at IS NULL",
    )


@migrations()
def m002_inference(db: Database) -> None:
    """Inference jobs, their files and the detections."""
    _run(
        db,
        """
        CREATE TABLE inference_jobs (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            tenant_id INTEGER NOT NULL REFERENCES tenants,
            model_id TEXT NOT NULL,
            model_name TEXT NOT NULL,
            model_version TEXT NOT NULL,
            config TEXT NOT NULL CHECK (json_type(config) = 'object'),
            client_config TEXT NOT NULL CHECK (json_type(client_config) = 'object'),
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            cancelled_at REAL
        ) STRICT
        """,
        "CREATE INDEX inference_jobs_tenant ON inference_jobs (tenant_id, sequence)",
        """
        CREATE TABLE inference_files (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            job_id TEXT NOT NULL REFERENCES inference_jobs (id) ON DELETE CASCADE,
            original_filename TEXT NOT NULL,
            content_type TEXT NOT NULL,
            declared_size_bytes INTEGER NOT NULL CHECK (declared_size_bytes > 0),
            object_key TEXT NOT NULL UNIQUE,
            upload_expires_at REAL NOT NULL,
            etag TEXT,
            status TEXT NOT NULL CHECK (
                status IN ('pending', 'queued', 'processing', 'completed', 'failed', 'cancelled')
            ),
            error_code TEXT,
            error_message TEXT,
            duration_ms INTEGER CHECK (duration_ms > 0),
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            CHECK ((status = 'failed') = (error_message IS NOT NULL)),
            CHECK ((error_code IS NULL) = (error_message IS NULL)),
            CHECK ((status = 'completed') = (duration_ms IS NOT NULL)),
            CHECK (status NOT IN ('queued', 'processing', 'completed') OR etag IS NOT NULL)
        ) STRICT
        """,
        "CREATE INDEX inference_files_job ON inference_files (job_id, status)",
        "CREATE INDEX inference_files_waiting ON inference_files (upload_expires_at) WHERE status = 'pending'",
        """
        CREATE TABLE detections (
            file_id TEXT NOT NULL REFERENCES inference_files (id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            artifact_type TEXT NOT NULL,
            start_ms INTEGER NOT NULL CHECK (start_ms >= 0),
            end_ms INTEGER NOT NULL CHECK (end_ms > start_ms),
            confidence REAL NOT NULL CHECK (confidence BETWEEN 0 AND 1),
            PRIMARY KEY (file_id, position)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE VIEW inference_job_counts AS
        SELECT
            id AS job_id,
            (SELECT count(*) FROM inference_files f WHERE f.job_id = j.id) AS total_files,
            (SELECT count(*) FROM inference_files f WHERE f.job_id = j.id AND f.status = 'pending') AS pending_files,
            (SELECT count(*) FROM inference_files f WHERE f.job_id = j.id AND f.status = 'failed') AS failed_files,
            (SELECT count(*) FROM inference_files f WHERE f.job_id = j.id
                AND f.status IN ('completed', 'failed', 'cancelled')) AS processed_files,
            (SELECT max(f.updated_at) FROM inference_files f WHERE f.job_id = j.id) AS files_updated_at
        FROM inference_jobs j
        """,
        """
        CREATE VIEW inference_job_states AS
        SELECT
            j.*, c.total_files, c.processed_files,
            max(j.updated_at, coalesce(c.files_updated_at, 0)) AS last_updated_at,
            CASE
                WHEN j.cancelled_at IS NOT NULL THEN 'cancelled'
                WHEN c.total_files = c.pending_files THEN 'pending'
                WHEN c.total_files > c.processed_files THEN 'processing'
                WHEN c.total_files = c.failed_files THEN 'failed'
                ELSE 'completed'
            END AS status
        FROM inference_jobs j JOIN inference_job_counts c ON c.job_id = j.id
        """,
    )


@migrations()
def m003_work(db: Database) -> None:
    """One queue for all background work, and the workers that take from it."""
    _run(
        db,
        """
        CREATE TABLE work (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL,
            subject_id TEXT NOT NULL,
            group_id TEXT NOT NULL,
            run_after REAL NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
            lost_leases INTEGER NOT NULL DEFAULT 0 CHECK (lost_leases >= 0),
            lease_token INTEGER NOT NULL DEFAULT 0,
            lease_owner TEXT,
            lease_until REAL,
            UNIQUE (kind, subject_id),
            CHECK ((lease_owner IS NULL) = (lease_until IS NULL))
        ) STRICT
        """,
        "CREATE INDEX work_free ON work (group_id, id) WHERE lease_owner IS NULL",
        "CREATE INDEX work_leased ON work (group_id) WHERE lease_owner IS NOT NULL",
        """
        CREATE TABLE workers (
            id TEXT PRIMARY KEY,
            provider TEXT NOT NULL,
            started_at REAL NOT NULL,
            seen_at REAL NOT NULL
        ) STRICT
        """,
    )


@migrations()
def m004_datasets(db: Database) -> None:
    """Datasets, their audio, its annotations, and vectors for the search of similar audio."""
    _run(
        db,
        """
        CREATE TABLE datasets (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            tenant_id INTEGER NOT NULL REFERENCES tenants,
            name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
            description TEXT NOT NULL,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL
        ) STRICT
        """,
        "CREATE INDEX datasets_tenant ON datasets (tenant_id, sequence)",
        """
        CREATE TABLE audio (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            dataset_id TEXT NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
            original_filename TEXT NOT NULL,
            content_type TEXT NOT NULL,
            declared_size_bytes INTEGER NOT NULL CHECK (declared_size_bytes > 0),
            object_key TEXT NOT NULL UNIQUE,
            upload_expires_at REAL NOT NULL,
            etag TEXT,
            status TEXT NOT NULL CHECK (status IN ('pending', 'normalizing', 'embedding', 'ready', 'failed')),
            error_code TEXT,
            error_message TEXT,
            duration_ms INTEGER CHECK (duration_ms > 0),
            sample_rate_hz INTEGER CHECK (sample_rate_hz > 0),
            num_channels INTEGER CHECK (num_channels > 0),
            codec TEXT,
            sha256 TEXT,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            CHECK ((status = 'failed') = (error_message IS NOT NULL)),
            CHECK ((error_code IS NULL) = (error_message IS NULL)),
            CHECK (status IN ('pending', 'failed') OR etag IS NOT NULL),
            CHECK (status NOT IN ('embedding', 'ready') OR duration_ms IS NOT NULL),
            CHECK ((duration_ms IS NULL) = (sample_rate_hz IS NULL)),
            CHECK ((duration_ms IS NULL) = (num_channels IS NULL)),
            CHECK ((duration_ms IS NULL) = (codec IS NULL)),
            CHECK ((duration_ms IS NULL) = (sha256 IS NULL))
        ) STRICT
        """,
        "CREATE INDEX audio_dataset ON audio (dataset_id, sequence)",
        "CREATE INDEX audio_waiting ON audio (upload_expires_at) WHERE status = 'pending'",
        """
        CREATE TABLE annotations (
            id TEXT NOT NULL UNIQUE,
            audio_id TEXT NOT NULL REFERENCES audio (id) ON DELETE CASCADE,
            artifact_type TEXT NOT NULL CHECK (length(artifact_type) BETWEEN 1 AND 100),
            start_ms INTEGER NOT NULL CHECK (start_ms >= 0),
            end_ms INTEGER NOT NULL CHECK (end_ms > start_ms),
            created_at REAL NOT NULL
        ) STRICT
        """,
        "CREATE INDEX annotations_audio ON annotations (audio_id, start_ms)",
        """
        CREATE TABLE embeddings (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            audio_id TEXT NOT NULL UNIQUE REFERENCES audio (id) ON DELETE CASCADE,
            tenant_id INTEGER NOT NULL REFERENCES tenants,
            model TEXT NOT NULL,
            vector BLOB NOT NULL CHECK (length(vector) > 0 AND length(vector) % 4 = 0)
        ) STRICT
        """,
        "CREATE INDEX embeddings_model ON embeddings (tenant_id, model, sequence)",
    )


@migrations()
def m005_speech(db: Database) -> None:
    """Media of the speech routes, and the transcripts of it."""
    _run(
        db,
        """
        CREATE TABLE media (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            tenant_id INTEGER NOT NULL REFERENCES tenants,
            batch_id TEXT,
            original_filename TEXT NOT NULL,
            content_type TEXT NOT NULL,
            size_bytes INTEGER CHECK (size_bytes > 0),
            estimated_duration_seconds REAL,
            object_key TEXT NOT NULL UNIQUE,
            etag TEXT,
            upload_expires_at REAL,
            status TEXT NOT NULL CHECK (status IN ('pending', 'spooled', 'stored', 'failed')),
            error_code TEXT,
            error_message TEXT,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            CHECK ((status = 'failed') = (error_message IS NOT NULL)),
            CHECK ((error_code IS NULL) = (error_message IS NULL)),
            CHECK (status IN ('pending', 'failed') OR size_bytes IS NOT NULL),
            CHECK (status <> 'stored' OR etag IS NOT NULL)
        ) STRICT
        """,
        "CREATE INDEX media_batch ON media (batch_id, sequence) WHERE batch_id IS NOT NULL",
        "CREATE INDEX media_waiting ON media (upload_expires_at) WHERE status = 'pending'",
        """
        CREATE TABLE transcripts (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            tenant_id INTEGER NOT NULL REFERENCES tenants,
            media_id TEXT NOT NULL REFERENCES media (id) ON DELETE CASCADE,
            batch_id TEXT,
            model TEXT NOT NULL,
            options TEXT NOT NULL CHECK (json_type(options) = 'object'),
            callback_url TEXT,
            status TEXT NOT NULL CHECK (status IN ('waiting', 'queued', 'processing', 'completed', 'failed')),
            progress REAL NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
            result TEXT CHECK (json_type(result) = 'object'),
            duration_ms INTEGER CHECK (duration_ms > 0),
            error_code TEXT,
            error_message TEXT,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            CHECK ((status = 'failed') = (error_message IS NOT NULL)),
            CHECK ((error_code IS NULL) = (error_message IS NULL)),
            CHECK ((status = 'completed') = (result IS NOT NULL)),
            CHECK ((result IS NULL) = (duration_ms IS NULL))
        ) STRICT
        """,
        "CREATE INDEX transcripts_tenant ON transcripts (tenant_id, sequence)",
        "CREATE INDEX transcripts_media ON transcripts (media_id)",
        "CREATE INDEX transcripts_batch ON transcripts (batch_id, sequence) WHERE batch_id IS NOT NULL",
    )


@migrations()
def m006_webhooks(db: Database) -> None:
    """Webhook deliveries, and the secrets that sign them. A replaced secret also signs until it expires."""
    _run(
        db,
        "ALTER TABLE inference_jobs ADD COLUMN callback_url TEXT",
        """
        CREATE TABLE webhook_secrets (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            tenant_id INTEGER NOT NULL REFERENCES tenants,
            secret TEXT NOT NULL CHECK (substr(secret, 1, 6) = 'whsec_'),
            created_at REAL NOT NULL,
            expires_at REAL
        ) STRICT
        """,
        "CREATE UNIQUE INDEX webhook_secrets_current ON webhook_secrets (tenant_id) WHERE expires_at IS NULL",
        """
        CREATE TABLE webhook_deliveries (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            tenant_id INTEGER NOT NULL REFERENCES tenants,
            url TEXT NOT NULL,
            event_type TEXT NOT NULL,
            payload TEXT NOT NULL CHECK (json_type(payload) = 'object'),
            status TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
            attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
            next_attempt_at REAL,
            last_attempt_at REAL,
            last_status INTEGER,
            last_error TEXT,
            created_at REAL NOT NULL,
            CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL)),
            CHECK ((attempts = 0) = (last_attempt_at IS NULL)),
            CHECK (status <> 'delivered' OR last_error IS NULL)
        ) STRICT
        """,
        "CREATE INDEX webhook_deliveries_tenant ON webhook_deliveries (tenant_id, sequence)",
        "CREATE INDEX webhook_deliveries_old ON webhook_deliveries (created_at) WHERE status <> 'pending'",
    )


@migrations()
def m007_named_checks(db: Database) -> None:
    """Every CHECK gets a name, and work is found by its subject."""
    name_checks(db)
    _run(
        db,
        "CREATE INDEX work_subject ON work (subject_id)",
        # The objects of a deleted recording outlive its dataset: their work must not be discarded with the dataset's.
        "UPDATE work SET group_id = subject_id WHERE kind = 'purge'",
    )


@migrations()
def m008_upload_keys_and_counts(db: Database) -> None:
    """Uploads get keys of their own, and jobs keep the counts of their files, which triggers update.

    Counting 100,000 files at each poll took 21 ms. A row of the first release has no upload key: its bytes were
    uploaded under the object key.
    """
    for table in ("inference_files", "audio", "media"):
        _run(
            db,
            f"ALTER TABLE {table} ADD COLUMN upload_key TEXT",
            f"CREATE UNIQUE INDEX {table}_upload_key ON {table} (upload_key) WHERE upload_key IS NOT NULL",
        )
    _run(
        db,
        *(f"ALTER TABLE {table} ADD COLUMN original_removed_at REAL" for table in ("inference_files", "media")),
        *(
            f"CREATE INDEX {table}_originals ON {table} (updated_at) WHERE original_removed_at IS NULL"
            for table in ("inference_files", "media")
        ),
        "CREATE INDEX inference_jobs_updated ON inference_jobs (updated_at)",
        "DROP VIEW inference_job_states",
        "DROP VIEW inference_job_counts",
        *(f"ALTER TABLE inference_jobs ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0" for name in (*_COUNTS, "version")),
        f"""
        UPDATE inference_jobs SET
            {", ".join(f"{name} = ({_FILES_OF_JOB} AND {condition})" for name, condition in _COUNTS.items())},
            updated_at = max(updated_at, coalesce(({_FILES_OF_JOB.replace("count(*)", "max(f.updated_at)")}), 0))
        """,
        """
        ALTER TABLE inference_jobs ADD COLUMN status TEXT GENERATED ALWAYS AS (
            CASE
                WHEN cancelled_at IS NOT NULL THEN 'cancelled'
                WHEN total_files = pending_files THEN 'pending'
                WHEN total_files > processed_files THEN 'processing'
                WHEN total_files = failed_files THEN 'failed'
                ELSE 'completed'
            END
        ) VIRTUAL
        """,
        "CREATE INDEX inference_jobs_status ON inference_jobs (tenant_id, status, sequence)",
        _count_trigger("insert", "INSERT", new=True, old=False),
        _count_trigger("update", "UPDATE", new=True, old=True),
        _count_trigger("delete", "DELETE", new=False, old=True),
    )


# Count of a job → the files that it counts.
_COUNTS = {
    "total_files": "1",
    "pending_files": "f.status = 'pending'",
    "failed_files": "f.status = 'failed'",
    "processed_files": "f.status IN ('completed', 'failed', 'cancelled')",
}

_FILES_OF_JOB = "SELECT count(*) FROM inference_files f WHERE f.job_id = inference_jobs.id"


def _count_trigger(name: str, event: str, *, new: bool, old: bool) -> str:
    """Return a trigger that keeps the counts, the time and the version of a job in step with one of its files."""

    def change(condition: str) -> str:
        added = f"+ ({condition.replace('f.', 'NEW.')})" if new else ""
        removed = f"- ({condition.replace('f.', 'OLD.')})" if old else ""
        return f"{added} {removed}"

    counts = ", ".join(f"{column} = {column} {change(condition)}" for column, condition in _COUNTS.items())
    time = "NEW.updated_at" if new else "unixepoch('subsec')"
    return f"""
        CREATE TRIGGER inference_files_{name}_counts AFTER {event} ON inference_files BEGIN
            UPDATE inference_jobs SET {counts}, version = version + 1, updated_at = max(updated_at, {time})
            WHERE id = {"NEW" if new else "OLD"}.job_id;
        END
        """


@migrations()
def m009_annotation_sets(db: Database) -> None:
    """Artifact types of datasets, and versioned sets of annotations. Older annotations belong to no set."""
    _run(
        db,
        """
        ALTER TABLE datasets ADD COLUMN artifact_types TEXT NOT NULL DEFAULT '[]'
            CONSTRAINT datasets_artifact_types_array CHECK (json_type(artifact_types) = 'array')
        """,
        """
        CREATE TABLE annotation_sets (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            dataset_id TEXT NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
            version INTEGER NOT NULL CONSTRAINT annotation_sets_version_positive CHECK (version > 0),
            status TEXT NOT NULL CONSTRAINT annotation_sets_status CHECK (status IN ('draft', 'published')),
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            UNIQUE (dataset_id, version)
        ) STRICT
        """,
        "ALTER TABLE annotations ADD COLUMN set_id TEXT REFERENCES annotation_sets (id) ON DELETE CASCADE",
        """
        ALTER TABLE annotations ADD COLUMN confidence REAL NOT NULL DEFAULT 1.0
            CONSTRAINT annotations_confidence_range CHECK (confidence BETWEEN 0 AND 1)
        """,
        "CREATE INDEX annotations_set ON annotations (set_id) WHERE set_id IS NOT NULL",
        *(
            f"""
            CREATE TRIGGER annotations_published_{event} BEFORE {event} ON annotations
            WHEN (SELECT status FROM annotation_sets WHERE id = {row}.set_id) = 'published'
            BEGIN SELECT RAISE(ABORT, 'a published annotation set never changes'); END
            """
            for event, row in (("insert", "NEW"), ("update", "OLD"))
        ),
    )


@migrations()
def m010_speech_routes(db: Database) -> None:
    """Media and transcripts belong to one speech route. A webhook may carry a header that the client chose.

    Uploads that no transcript uses are deleted some days after ``unused_since``. For those of the first release, the
    days begin with this migration.
    """
    route = "route TEXT NOT NULL DEFAULT 'raw' CONSTRAINT {0}_route CHECK (route IN ('raw', 'batch', 'presigned'))"
    _run(
        db,
        f"ALTER TABLE media ADD COLUMN {route.format('media')}",
        f"ALTER TABLE transcripts ADD COLUMN {route.format('transcripts')}",
        """
        UPDATE media SET route = CASE
            WHEN batch_id IS NOT NULL THEN 'batch' WHEN original_filename = '' THEN 'raw' ELSE 'presigned' END
        """,
        """
        UPDATE transcripts SET route = CASE
            WHEN batch_id IS NOT NULL THEN 'batch' ELSE (SELECT m.route FROM media m WHERE m.id = media_id) END
        """,
        "ALTER TABLE media ADD COLUMN unused_since REAL",
        """
        UPDATE media SET unused_since = unixepoch('subsec')
        WHERE route = 'raw' AND status = 'stored' AND id NOT IN (SELECT media_id FROM transcripts)
        """,
        "DROP INDEX transcripts_tenant",
        "CREATE INDEX transcripts_route ON transcripts (tenant_id, route, sequence)",
        "CREATE INDEX media_route ON media (tenant_id, route, sequence)",
        "CREATE INDEX media_unused ON media (unused_since) WHERE unused_since IS NOT NULL",
        "ALTER TABLE transcripts ADD COLUMN callback_header_name TEXT",
        "ALTER TABLE transcripts ADD COLUMN callback_header_value TEXT",
        "ALTER TABLE webhook_deliveries ADD COLUMN header_name TEXT",
        "ALTER TABLE webhook_deliveries ADD COLUMN header_value TEXT",
    )


@migrations()
def m011_delivery_subjects(db: Database) -> None:
    """A webhook delivery names the job or the transcript that it is about. Older deliveries name none."""
    _run(
        db,
        "ALTER TABLE webhook_deliveries ADD COLUMN subject_id TEXT",
        "CREATE INDEX webhook_deliveries_subject ON webhook_deliveries (subject_id) WHERE subject_id IS NOT NULL",
    )


@migrations()
def m012_fetched_media(db: Database) -> None:
    """Media may be fetched from a URL."""
    _run(db, "ALTER TABLE media ADD COLUMN source_url TEXT")


@migrations()
def m013_access(db: Database) -> None:
    """Keys have scopes, may expire and show their last use. Older keys may read and write. A tenant can be disabled."""
    _run(
        db,
        """
        ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT '["read", "write"]'
            CONSTRAINT api_keys_scopes_array CHECK (json_type(scopes) = 'array')
        """,
        "ALTER TABLE api_keys ADD COLUMN expires_at REAL",
        "ALTER TABLE api_keys ADD COLUMN last_used_at REAL",
        "ALTER TABLE tenants ADD COLUMN disabled_at REAL",
    )


@migrations()
def m014_deliveries_of_deleted_subjects(db: Database) -> None:
    """A delivery goes with the job, file or transcript that it is about, so older deliveries name theirs now."""
    _run(
        db,
        """
        UPDATE webhook_deliveries SET subject_id = coalesce(
            json_extract(payload, '$.data.job_id'), json_extract(payload, '$.data.transcriptionId'),
            json_extract(payload, '$.transcript_id')
        ) WHERE subject_id IS NULL
        """,
        "CREATE INDEX webhook_deliveries_file ON webhook_deliveries (json_extract(payload, '$.data.file_id'))",
    )


@migrations()
def m015_bounded_detections(db: Database) -> None:
    """A file knows how many detections are stored of it, and whether its model found more than may be stored."""
    _run(
        db,
        "ALTER TABLE inference_files ADD COLUMN num_detections INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE inference_files ADD COLUMN detections_truncated INTEGER NOT NULL DEFAULT 0",
        """
        UPDATE inference_files SET num_detections = (
            SELECT count(*) FROM detections d WHERE d.file_id = inference_files.id
        ) WHERE status = 'completed'
        """,
    )


@migrations()
def m016_chores(db: Database) -> None:
    """When each background chore last ended, and what it found wrong."""
    _run(db, "CREATE TABLE chores (name TEXT PRIMARY KEY, ended_at REAL NOT NULL, fault TEXT) STRICT")


@migrations()
def m017_usage(db: Database) -> None:
    """What each tenant uses, kept by triggers: a count of 100,000 rows would cost more than the request it is for."""
    _run(
        db,
        "ALTER TABLE audio ADD COLUMN derived_bytes INTEGER NOT NULL DEFAULT 0",
        """
        CREATE TABLE tenant_usage (
            tenant_id INTEGER PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
            stored_bytes INTEGER NOT NULL DEFAULT 0,
            pending_uploads INTEGER NOT NULL DEFAULT 0,
            active_files INTEGER NOT NULL DEFAULT 0,
            audio_day INTEGER NOT NULL DEFAULT 0,
            audio_ms INTEGER NOT NULL DEFAULT 0
        ) STRICT
        """,
        "INSERT INTO tenant_usage (tenant_id) SELECT id FROM tenants",
        "CREATE TRIGGER tenants_usage AFTER INSERT ON tenants "
        "BEGIN INSERT INTO tenant_usage (tenant_id) VALUES (NEW.id); END",
        *(
            f"""
            UPDATE tenant_usage SET ({", ".join(uses.counts)}) = (
                SELECT {", ".join(f"{name} + coalesce(sum({count}), 0)" for name, count in uses.counts.items())}
                FROM {table} f WHERE {uses.tenant_id} = tenant_usage.tenant_id
            )
            """
            for table, uses in _USES.items()
        ),
        *(_usage_trigger(table, event, uses) for table, uses in _USES.items() for event in _EVENTS),
    )


@dataclass(frozen=True)
class _Uses:
    """What a row f of a table counts for, as SQL. A row without ``duration_ms`` has not been analyzed."""

    tenant_id: str
    counts: dict[str, str]
    duration_ms: str = "0"


_EVENTS = ("INSERT", "UPDATE", "DELETE")
_USES = {
    "inference_files": _Uses(
        "(SELECT tenant_id FROM inference_jobs j WHERE j.id = f.job_id)",
        {
            "stored_bytes": "CASE WHEN f.original_removed_at IS NULL AND (f.status = 'pending' OR f.etag IS NOT NULL) "
            "THEN f.declared_size_bytes ELSE 0 END",
            "pending_uploads": "(f.status = 'pending')",
            "active_files": "(f.status IN ('pending', 'queued', 'processing'))",
        },
        "coalesce(f.duration_ms, 0)",
    ),
    "audio": _Uses(
        "(SELECT tenant_id FROM datasets d WHERE d.id = f.dataset_id)",
        {
            "stored_bytes": "(f.derived_bytes + CASE WHEN f.status = 'pending' OR f.etag IS NOT NULL "
            "THEN f.declared_size_bytes ELSE 0 END)",
            "pending_uploads": "(f.status = 'pending')",
            "active_files": "(f.status IN ('pending', 'normalizing', 'embedding'))",
        },
        "coalesce(f.duration_ms, 0)",
    ),
    "media": _Uses(
        "f.tenant_id",
        {
            "stored_bytes": "CASE WHEN f.original_removed_at IS NULL AND f.status <> 'failed' "
            "THEN coalesce(f.size_bytes, 0) ELSE 0 END",
            "pending_uploads": "(f.status = 'pending')",
        },
    ),
    "transcripts": _Uses(
        "f.tenant_id",
        {"active_files": "(f.status IN ('waiting', 'queued', 'processing'))"},
        "coalesce(f.duration_ms, 0)",
    ),
}


def _usage_trigger(table: str, event: str, uses: _Uses) -> str:
    """Return a trigger that keeps the use of a tenant in step with the rows of a table."""
    new = {name: count.replace("f.", "NEW.") for name, count in uses.counts.items()}
    old = {name: count.replace("f.", "OLD.") for name, count in uses.counts.items()}
    row = "OLD" if event == "DELETE" else "NEW"
    counts = [
        f"{name} = {name}"
        + (f" + {new[name]}" if event != "DELETE" else "")
        + (f" - {old[name]}" if event != "INSERT" else "")
        for name in uses.counts
    ]
    changed = [f"{new[name]} <> {old[name]}" for name in uses.counts]
    if event == "UPDATE" and uses.duration_ms != "0":
        longer = f"{uses.duration_ms.replace('f.', 'NEW.')} - {uses.duration_ms.replace('f.', 'OLD.')}"
        today = "unixepoch() / 86400"
        counts += [
            f"audio_ms = CASE WHEN audio_day = {today} THEN audio_ms ELSE 0 END + max(0, {longer})",
            f"audio_day = {today}",
        ]
        changed.append(f"{longer} > 0")
    return f"""
        CREATE TRIGGER {table}_{event.lower()}_usage AFTER {event} ON {table}
        {f"WHEN {' OR '.join(changed)}" if event == "UPDATE" else ""} BEGIN
            UPDATE tenant_usage SET {", ".join(counts)} WHERE tenant_id = {uses.tenant_id.replace("f.", f"{row}.")};
        END
        """


@migrations()
def m018_queue_by_tenant(db: Database) -> None:
    """Work knows its tenant and the pool of threads that it waits for, and ``work_turns`` says whose turn it is.

    ``run_after`` is set only while work is put off, so that work is ready whatever the clock says.
    """
    _run(
        db,
        """
        CREATE TABLE new_work (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL,
            subject_id TEXT NOT NULL,
            pool TEXT NOT NULL,
            tenant_id INTEGER NOT NULL,
            group_id TEXT NOT NULL CONSTRAINT work_group_named CHECK (group_id <> ''),
            run_after REAL,
            attempts INTEGER NOT NULL DEFAULT 0 CONSTRAINT work_attempts_not_negative CHECK (attempts >= 0),
            lost_leases INTEGER NOT NULL DEFAULT 0 CONSTRAINT work_lost_leases_not_negative CHECK (lost_leases >= 0),
            lease_token INTEGER NOT NULL DEFAULT 0,
            lease_owner TEXT,
            lease_until REAL,
            UNIQUE (kind, subject_id),
            CONSTRAINT work_lease_has_end CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
            CONSTRAINT work_put_off_is_free CHECK (run_after IS NULL OR lease_owner IS NULL)
        ) STRICT
        """,
        """
        CREATE TABLE work_turns (
            id INTEGER PRIMARY KEY,
            pool TEXT NOT NULL,
            tenant_id INTEGER NOT NULL,
            group_id TEXT NOT NULL,
            ready INTEGER NOT NULL CONSTRAINT work_turns_ready_not_negative CHECK (ready >= 0),
            busy INTEGER NOT NULL CONSTRAINT work_turns_busy_not_negative CHECK (busy >= 0),
            turn INTEGER NOT NULL,
            UNIQUE (pool, tenant_id, group_id)
        ) STRICT
        """,
        "CREATE INDEX work_turns_tenants ON work_turns (pool, busy, turn) WHERE ready > 0 AND group_id = ''",
        "CREATE INDEX work_turns_groups ON work_turns (pool, tenant_id, busy, turn) WHERE ready > 0 AND group_id <> ''",
        "CREATE INDEX work_turns_last ON work_turns (pool, turn) WHERE group_id = ''",
        *_work_triggers("new_work"),
        f"""
        INSERT INTO new_work SELECT
            id, kind, subject_id,
            CASE WHEN kind IN ('store', 'purge') THEN 'storage' WHEN kind = 'fetch' THEN 'fetch'
                WHEN kind = 'webhook' THEN 'courier' ELSE 'lanes' END,
            coalesce({_TENANT_OF_WORK}, 0), group_id, CASE WHEN lease_owner IS NULL AND attempts > 0 THEN run_after END,
            attempts, lost_leases, lease_token, lease_owner, lease_until
        FROM work ORDER BY id
        """,
        "DROP TABLE work",
        "ALTER TABLE new_work RENAME TO work",
        """
        CREATE INDEX work_ready ON work (pool, tenant_id, group_id, id)
        WHERE lease_owner IS NULL AND run_after IS NULL
        """,
        "CREATE INDEX work_put_off ON work (pool, run_after) WHERE run_after IS NOT NULL",
        "CREATE INDEX work_leased ON work (lease_until) WHERE lease_owner IS NOT NULL",
        "CREATE INDEX work_lost ON work (lost_leases) WHERE lost_leases > 0",
        "CREATE INDEX work_group ON work (group_id)",
        "CREATE INDEX work_subject ON work (subject_id)",
    )


@migrations()
def m019_indexes_of_lists(db: Database) -> None:
    """Lists are read in their order by an index: a job's files, and deliveries of one status."""
    _run(
        db,
        "CREATE INDEX inference_files_order ON inference_files (job_id)",
        "CREATE INDEX webhook_deliveries_status ON webhook_deliveries (tenant_id, status, sequence)",
    )


@migrations()
def m020_depth_of_the_queue(db: Database) -> None:
    """The queue knows how much work of each kind there is, and since when each piece is ready."""
    new = [state.format("NEW") for state in _DEPTHS.values()]
    added = ", ".join(f"{name} = {name} + {state.format('NEW')}" for name, state in _DEPTHS.items())
    removed = ", ".join(f"{name} = {name} - {state.format('OLD')}" for name, state in _DEPTHS.items())
    _run(
        db,
        "ALTER TABLE work ADD COLUMN ready_at REAL",
        "UPDATE work SET ready_at = unixepoch('subsec')",
        "CREATE INDEX work_oldest ON work (kind, id) WHERE lease_owner IS NULL AND run_after IS NULL",
        f"""
        CREATE TABLE work_kinds (
            kind TEXT PRIMARY KEY,
            {", ".join(f"{name} INTEGER NOT NULL DEFAULT 0" for name in _DEPTHS)}
        ) STRICT, WITHOUT ROWID
        """,
        f"""
        INSERT INTO work_kinds SELECT kind, {", ".join(f"sum({state.format('work')})" for state in _DEPTHS.values())}
        FROM work GROUP BY kind
        """,
        f"""
        CREATE TRIGGER work_kinds_inserted AFTER INSERT ON work BEGIN
            INSERT INTO work_kinds VALUES (NEW.kind, {", ".join(new)}) ON CONFLICT DO UPDATE SET {added};
        END
        """,
        f"""
        CREATE TRIGGER work_kinds_deleted AFTER DELETE ON work BEGIN
            UPDATE work_kinds SET {removed} WHERE kind = OLD.kind;
        END
        """,
        f"""
        CREATE TRIGGER work_kinds_changed AFTER UPDATE OF lease_owner, run_after ON work BEGIN
            UPDATE work_kinds SET {removed} WHERE kind = OLD.kind;
            UPDATE work_kinds SET {added} WHERE kind = NEW.kind;
        END
        """,
    )


@migrations()
def m021_console_sessions(db: Database) -> None:
    """Who is signed in to the console: a session belongs to a key and ends with it."""
    _run(
        db,
        """
        CREATE TABLE console_sessions (
            id INTEGER PRIMARY KEY,
            key_id INTEGER NOT NULL REFERENCES api_keys,
            token_hash BLOB NOT NULL UNIQUE
                CONSTRAINT console_sessions_token_is_hashed CHECK (length(token_hash) = 32),
            created_at REAL NOT NULL,
            used_at REAL NOT NULL
        ) STRICT
        """,
    )


# Count of a kind → the state of a piece of work that counts.
_DEPTHS = {
    "ready": "({0}.lease_owner IS NULL AND {0}.run_after IS NULL)",
    "put_off": "({0}.run_after IS NOT NULL)",
    "busy": "({0}.lease_owner IS NOT NULL)",
}


@migrations()
def m021_request_ids(db: Database) -> None:
    """Work names the request that led to it, and so does a transcript, whose work is queued when its media arrives."""
    _run(db, *(f"ALTER TABLE {table} ADD COLUMN request_id TEXT" for table in ("work", "transcripts")))


@migrations()
def m022_kept_scores(db: Database) -> None:
    """The scores of a file are kept as an object, and its detections may come from settings of their own."""
    uses = _USES["inference_files"]
    counts = uses.counts | {"stored_bytes": f"(f.derived_bytes + {uses.counts['stored_bytes']})"}
    settings = "{0} TEXT CONSTRAINT inference_files_{0}_object CHECK (json_type({0}) = 'object')"
    _run(
        db,
        "ALTER TABLE inference_files ADD COLUMN derived_bytes INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE inference_files ADD COLUMN scores_etag TEXT",
        """
        ALTER TABLE inference_files ADD COLUMN scores_bytes INTEGER
            CONSTRAINT inference_files_scores_have_etag CHECK ((scores_bytes IS NULL) = (scores_etag IS NULL))
        """,
        *(f"ALTER TABLE inference_files ADD COLUMN {settings.format(name)}" for name in ("config", "client_config")),
        "CREATE INDEX inference_files_scores ON inference_files (updated_at) WHERE scores_bytes IS NOT NULL",
        *(f"DROP TRIGGER inference_files_{event.lower()}_usage" for event in _EVENTS),
        *(_usage_trigger("inference_files", event, replace(uses, counts=counts)) for event in _EVENTS),
    )


@migrations()
def m023_redetections(db: Database) -> None:
    """Requests to detect again in completed files."""
    _run(
        db,
        """
        CREATE TABLE redetections (
            file_id TEXT PRIMARY KEY REFERENCES inference_files (id) ON DELETE CASCADE,
            number INTEGER NOT NULL,
            choices TEXT NOT NULL CONSTRAINT redetections_choices_object CHECK (json_type(choices) = 'object'),
            with_model INTEGER NOT NULL CONSTRAINT redetections_with_model_boolean CHECK (with_model IN (0, 1)),
            error_code TEXT,
            error_message TEXT,
            CONSTRAINT redetections_message_has_code CHECK ((error_code IS NULL) = (error_message IS NULL))
        ) STRICT
        """,
        "CREATE INDEX redetections_number ON redetections (number)",
    )


@migrations()
def m024_reviews(db: Database) -> None:
    """What people decided about detections, and which review each detection matches."""
    _run(
        db,
        """
        CREATE TABLE reviews (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL CONSTRAINT reviews_id_length CHECK (length(id) BETWEEN 1 AND 64),
            file_id TEXT NOT NULL REFERENCES inference_files (id) ON DELETE CASCADE,
            artifact_type TEXT NOT NULL CONSTRAINT reviews_type_length CHECK (length(artifact_type) BETWEEN 1 AND 100),
            start_ms INTEGER NOT NULL CONSTRAINT reviews_start_not_negative CHECK (start_ms >= 0),
            end_ms INTEGER NOT NULL CONSTRAINT reviews_end_after_start CHECK (end_ms > start_ms),
            verdict TEXT NOT NULL CONSTRAINT reviews_verdict CHECK (verdict IN ('confirmed', 'rejected')),
            reviewed_type TEXT CONSTRAINT reviews_reviewed_type_length CHECK (length(reviewed_type) BETWEEN 1 AND 100),
            reviewed_start_ms INTEGER CONSTRAINT reviews_reviewed_start_not_negative CHECK (reviewed_start_ms >= 0),
            reviewed_end_ms INTEGER CONSTRAINT reviews_reviewed_end_after_start CHECK (
                reviewed_end_ms > reviewed_start_ms
            ),
            comment TEXT NOT NULL CONSTRAINT reviews_comment_length CHECK (length(comment) <= 2000),
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            UNIQUE (file_id, id),
            CONSTRAINT reviews_both_edges CHECK ((reviewed_start_ms IS NULL) = (reviewed_end_ms IS NULL)),
            CONSTRAINT reviews_rejected_has_no_corrections CHECK (
                verdict = 'confirmed' OR (reviewed_type IS NULL AND reviewed_start_ms IS NULL)
            )
        ) STRICT
        """,
        "CREATE INDEX reviews_span ON reviews (file_id, artifact_type, start_ms)",
        "ALTER TABLE detections ADD COLUMN review INTEGER",
    )


@migrations()
def m025_uploads_that_await_their_copy(db: Database) -> None:
    """A large upload is confirmed before it is copied to its object key."""
    for table, statuses in {"inference_files": "'queued', 'cancelled'", "audio": "'normalizing'"}.items():
        _run(
            db,
            f"""
            ALTER TABLE {table} ADD COLUMN awaits_copy INTEGER NOT NULL DEFAULT 0
                CONSTRAINT {table}_awaits_copy_of_upload CHECK (awaits_copy = 0 OR (
                    awaits_copy = 1 AND etag IS NOT NULL AND upload_key IS NOT NULL AND status IN ({statuses})
                ))
            """,
        )


@migrations()
def m026_several_workers(db: Database) -> None:
    """The number of a worker among all that this machine has, one for each GPU."""
    _run(
        db,
        "ALTER TABLE workers ADD COLUMN number INTEGER NOT NULL DEFAULT 1 "
        "CONSTRAINT workers_number_positive CHECK (number >= 1)",
        "ALTER TABLE workers ADD COLUMN count INTEGER NOT NULL DEFAULT 1 "
        "CONSTRAINT workers_count_positive CHECK (count >= 1)",
        "CREATE UNIQUE INDEX workers_by_number ON workers (number)",
    )


@migrations()
def m027_changes(db: Database) -> None:
    """The last change of each job and each file, in order, so that a poll reads only what changed since the one before.

    An empty ``file_id`` is the job itself. What was deleted keeps its row until changes of that age are forgotten.
    """
    _run(
        db,
        """
        CREATE TABLE changes (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            tenant_id INTEGER NOT NULL,
            job_id TEXT NOT NULL,
            file_id TEXT NOT NULL,
            changed_at REAL NOT NULL,
            UNIQUE (job_id, file_id)
        ) STRICT
        """,
        "CREATE INDEX changes_of_tenant ON changes (tenant_id, sequence)",
        "CREATE TABLE changes_forgotten (tenant_id INTEGER PRIMARY KEY, forgotten INTEGER NOT NULL) STRICT",
        *(
            f"""
            CREATE TRIGGER inference_jobs_{event.lower()}_changes AFTER {event} ON inference_jobs BEGIN
                {"DELETE FROM changes WHERE job_id = OLD.id;" if event == "DELETE" else ""}
                INSERT OR REPLACE INTO changes (tenant_id, job_id, file_id, changed_at)
                VALUES ({row}.tenant_id, {row}.id, '', unixepoch('subsec'));
            END
            """
            for event, row in _ROWS.items()
        ),
        *(_change_trigger("inference_files", event, f"{row}.id") for event, row in _ROWS.items()),
        *(_change_trigger("reviews", event, f"{row}.file_id") for event, row in _ROWS.items()),
    )


_ROWS = {"INSERT": "NEW", "UPDATE": "NEW", "DELETE": "OLD"}


def _change_trigger(table: str, event: str, file_id: str) -> str:
    """Return a trigger that notes the change of a file; ``file_id`` is its id, as SQL."""
    job = f"(SELECT job_id FROM inference_files WHERE id = {file_id})"
    if table == "inference_files":
        job = f"{_ROWS[event]}.job_id"
    return f"""
        CREATE TRIGGER {table}_{event.lower()}_changes AFTER {event} ON {table} BEGIN
            INSERT OR REPLACE INTO changes (tenant_id, job_id, file_id, changed_at)
            SELECT tenant_id, id, {file_id}, unixepoch('subsec') FROM inference_jobs WHERE id = {job};
        END
        """


@migrations()
def m028_verdicts(db: Database) -> None:
    """Rules of tenants, and the verdict of each file by them."""
    _run(
        db,
        """
        CREATE TABLE verdict_rules (
            tenant_id INTEGER PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
            version INTEGER NOT NULL,
            rules TEXT NOT NULL CONSTRAINT verdict_rules_array CHECK (json_type(rules) = 'array')
        ) STRICT
        """,
        """
        ALTER TABLE inference_files ADD COLUMN verdict TEXT
            CONSTRAINT inference_files_verdict CHECK (verdict IN ('pass', 'review', 'fail'))
        """,
        """
        ALTER TABLE inference_files ADD COLUMN verdict_reasons TEXT NOT NULL DEFAULT '[]'
            CONSTRAINT inference_files_verdict_reasons_array CHECK (json_type(verdict_reasons) = 'array')
        """,
    )


@migrations()
def m029_retention_of_tenants(db: Database) -> None:
    """A tenant may have its own days of retention. NULL is the setting of the appliance, and 0 keeps all."""
    _run(
        db,
        *(
            f"ALTER TABLE tenants ADD COLUMN {kind}_days REAL CONSTRAINT tenants_{kind}_days CHECK ({kind}_days >= 0)"
            for kind in ("originals", "scores", "results")
        ),
    )


@migrations()
def m030_audit_log(db: Database) -> None:
    """Who did what, when."""
    _run(
        db,
        """
        CREATE TABLE audit_log (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            at REAL NOT NULL,
            actor TEXT NOT NULL,
            action TEXT NOT NULL,
            subject TEXT NOT NULL,
            request_id TEXT
        ) STRICT
        """,
        "CREATE INDEX audit_log_at ON audit_log (at)",
    )


@migrations()
def m031_uploads_in_parts(db: Database) -> None:
    """A file may be uploaded in parts, straight to its object key; storage gave the upload an id."""
    _run(
        db,
        "ALTER TABLE inference_files ADD COLUMN multipart_id TEXT",
        "CREATE UNIQUE INDEX inference_files_multipart ON inference_files (multipart_id) "
        "WHERE multipart_id IS NOT NULL",
    )


@migrations()
def m032_presence_reviews_and_groups(db: Database) -> None:
    """Annotations say whether their label is there, recordings may have a group, and people note what they heard."""
    _run(
        db,
        """
        ALTER TABLE annotations ADD COLUMN presence TEXT NOT NULL DEFAULT 'present'
            CONSTRAINT annotations_presence CHECK (presence IN ('present', 'absent', 'unsure'))
        """,
        """
        ALTER TABLE audio ADD COLUMN group_name TEXT
            CONSTRAINT audio_group_name_length CHECK (length(group_name) BETWEEN 1 AND 200)
        """,
        """
        CREATE TABLE reviewed_stretches (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            audio_id TEXT NOT NULL REFERENCES audio (id) ON DELETE CASCADE,
            labels TEXT NOT NULL CONSTRAINT reviewed_stretches_labels_array CHECK (json_type(labels) = 'array'),
            start_ms INTEGER NOT NULL CONSTRAINT reviewed_stretches_start_not_negative CHECK (start_ms >= 0),
            end_ms INTEGER NOT NULL CONSTRAINT reviewed_stretches_end_after_start CHECK (end_ms > start_ms),
            created_at REAL NOT NULL
        ) STRICT
        """,
        "CREATE INDEX reviewed_stretches_audio ON reviewed_stretches (audio_id, start_ms)",
    )


@migrations()
def m033_waveforms_count(db: Database) -> None:
    """The size of a file's waveform counts for its tenant. That of waveforms from before is not known: it is 0."""
    _run(db, "ALTER TABLE inference_files ADD COLUMN waveform_bytes INTEGER NOT NULL DEFAULT 0")


@migrations()
def m034_sources_of_detections(db: Database) -> None:
    """A detection says whether the model or the structure of the stream shows it."""
    _run(
        db,
        """
        ALTER TABLE detections ADD COLUMN source TEXT NOT NULL DEFAULT 'model'
            CONSTRAINT detections_source CHECK (source IN ('model', 'stream'))
        """,
    )


@migrations()
def m035_sound_embeddings(db: Database) -> None:
    """Vectors of the learned search, beside those that make audio ready."""
    _run(
        db,
        """
        CREATE TABLE sound_embeddings (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            audio_id TEXT NOT NULL UNIQUE REFERENCES audio (id) ON DELETE CASCADE,
            tenant_id INTEGER NOT NULL REFERENCES tenants,
            model TEXT NOT NULL,
            vector BLOB NOT NULL
                CONSTRAINT sound_embeddings_vector_of_floats CHECK (length(vector) > 0 AND length(vector) % 4 = 0)
        ) STRICT
        """,
        "CREATE INDEX sound_embeddings_model ON sound_embeddings (tenant_id, model, sequence)",
    )


@migrations()
def m036_training_jobs(db: Database) -> None:
    """Trainings, each with the annotations that it froze. One that is completed is also a model of its tenant."""
    _run(
        db,
        """
        CREATE TABLE training_jobs (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            tenant_id INTEGER NOT NULL REFERENCES tenants,
            model_name TEXT NOT NULL,
            model_version TEXT NOT NULL,
            base_model TEXT NOT NULL,
            choices TEXT NOT NULL CONSTRAINT training_jobs_choices_object CHECK (json_type(choices) = 'object'),
            counts TEXT NOT NULL CONSTRAINT training_jobs_counts_object CHECK (json_type(counts) = 'object'),
            annotations BLOB NOT NULL,
            annotations_sha256 TEXT NOT NULL,
            callback_url TEXT,
            status TEXT NOT NULL CONSTRAINT training_jobs_status CHECK (status IN (
                'queued', 'preparing', 'fitting', 'evaluating', 'exporting', 'completed', 'failed', 'cancelled'
            )),
            progress REAL NOT NULL DEFAULT 0 CONSTRAINT training_jobs_progress_share CHECK (progress BETWEEN 0 AND 1),
            report TEXT CONSTRAINT training_jobs_report_object CHECK (json_type(report) = 'object'),
            error_code TEXT,
            error_message TEXT,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            model_retired_at REAL,
            model_deleted_at REAL,
            UNIQUE (tenant_id, model_name, model_version),
            CONSTRAINT training_jobs_failed_has_message CHECK ((status = 'failed') = (error_message IS NOT NULL)),
            CONSTRAINT training_jobs_message_has_code CHECK ((error_code IS NULL) = (error_message IS NULL)),
            CONSTRAINT training_jobs_completed_has_report CHECK ((status = 'completed') = (report IS NOT NULL)),
            CONSTRAINT training_jobs_only_models_are_retired CHECK (
                status = 'completed' OR (model_retired_at IS NULL AND model_deleted_at IS NULL)
            )
        ) STRICT
        """,
        "CREATE INDEX training_jobs_tenant ON training_jobs (tenant_id, sequence)",
    )


@migrations()
def m037_cluster(db: Database) -> None:
    """The nodes of a cluster as the worker sees them, and how often an engine was lost with a piece of work."""
    _run(
        db,
        "ALTER TABLE work ADD COLUMN lost_engines INTEGER NOT NULL DEFAULT 0 "
        "CONSTRAINT work_lost_engines CHECK (lost_engines >= 0)",
        """
        CREATE TABLE nodes (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            address TEXT NOT NULL,
            state TEXT NOT NULL
                CONSTRAINT nodes_state CHECK (
                    state IN ('starting', 'ready', 'refused', 'failing', 'draining', 'drained')
                ),
            reason TEXT NOT NULL,
            engines INTEGER NOT NULL,
            busy INTEGER NOT NULL,
            lost_engines INTEGER NOT NULL,
            files INTEGER NOT NULL,
            seen_at REAL NOT NULL
        ) STRICT
        """,
        "CREATE TABLE drains (node_id TEXT PRIMARY KEY) STRICT",
    )


@migrations()
def m038_hearing_in_the_background(db: Database) -> None:
    """Audio to be heard that is queued beside analyses, as it once was. The daily chore queues it in the background."""
    _run(
        db,
        "DELETE FROM work WHERE kind = 'hear' AND pool = 'lanes'",
        "DELETE FROM chores WHERE name = 'unheard audio'",
    )


_TENANT_OF_WORK = """
    CASE kind
        WHEN 'inference' THEN (SELECT j.tenant_id FROM inference_files f JOIN inference_jobs j ON j.id = f.job_id
            WHERE f.id = subject_id)
        WHEN 'normalize' THEN (SELECT d.tenant_id FROM audio a JOIN datasets d ON d.id = a.dataset_id
            WHERE a.id = subject_id)
        WHEN 'embed' THEN (SELECT d.tenant_id FROM audio a JOIN datasets d ON d.id = a.dataset_id
            WHERE a.id = subject_id)
        WHEN 'transcription' THEN (SELECT t.tenant_id FROM transcripts t WHERE t.id = subject_id)
        WHEN 'webhook' THEN (SELECT w.tenant_id FROM webhook_deliveries w WHERE w.id = subject_id)
        WHEN 'purge' THEN CAST(substr(subject_id, length('tenant-') + 1) AS INTEGER)
        ELSE (SELECT m.tenant_id FROM media m WHERE m.id = subject_id)
    END
    """


def _work_triggers(table: str) -> list[str]:
    """Return triggers that keep ``work_turns`` in step with the work: a row for each tenant and for each group.

    A claim is a turn and gets the next even number. Whoever joins gets the odd number below the last turn, and so
    comes after all who wait and before the one who had that turn.
    """

    def ready(row: str) -> str:
        return f"({row}.lease_owner IS NULL AND {row}.run_after IS NULL)"

    def busy(row: str) -> str:
        return f"({row}.lease_owner IS NOT NULL)"

    def add(group_id: str, last_turn: str) -> str:
        return f"""
            INSERT INTO work_turns (pool, tenant_id, group_id, ready, busy, turn)
            SELECT
                NEW.pool, NEW.tenant_id, {group_id}, {ready("NEW")}, {busy("NEW")},
                (coalesce(({last_turn}), 0) - 1) | 1
            WHERE {ready("NEW")} OR {busy("NEW")}
            ON CONFLICT (pool, tenant_id, group_id) DO UPDATE
            SET ready = ready + excluded.ready, busy = busy + excluded.busy;
            """

    last_of_pool = "SELECT max(turn) FROM work_turns WHERE pool = NEW.pool AND group_id = ''"
    last_of_tenant = "SELECT turn FROM work_turns WHERE pool = NEW.pool AND tenant_id = NEW.tenant_id AND group_id = ''"
    added = add("''", last_of_pool) + add("NEW.group_id", last_of_tenant)
    of_old = "pool = OLD.pool AND tenant_id = OLD.tenant_id AND group_id IN ('', OLD.group_id)"
    removed = f"""
        UPDATE work_turns SET ready = ready - {ready("OLD")}, busy = busy - {busy("OLD")} WHERE {of_old};
        DELETE FROM work_turns WHERE {of_old} AND ready = 0 AND busy = 0;
        """
    return [
        f"CREATE TRIGGER work_inserted AFTER INSERT ON {table} BEGIN {added} END",
        f"CREATE TRIGGER work_deleted AFTER DELETE ON {table} BEGIN {removed} END",
        f"""
        CREATE TRIGGER work_changed AFTER UPDATE OF lease_owner, run_after ON {table}
        WHEN {ready("OLD")} <> {ready("NEW")} OR {busy("OLD")} <> {busy("NEW")}
        BEGIN {added} {removed} END
        """,
        f"""
        CREATE TRIGGER work_claimed AFTER UPDATE OF lease_owner ON {table}
        WHEN {busy("NEW")} AND NOT {busy("OLD")} BEGIN
            UPDATE work_turns SET turn = (({last_of_pool}) | 1) + 1
            WHERE pool = NEW.pool AND tenant_id = NEW.tenant_id AND group_id IN ('', NEW.group_id);
        END
        """,
    ]


def _run(db: Database, *statements: str) -> None:
    for statement in statements:
        db.execute(statement)
