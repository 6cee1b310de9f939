"""Keeps requests to object storage at the machine's time, which its server has: on a real machine both share one clock.

Python imports this module before a program whose PYTHONPATH names this folder.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any


def ahead() -> timedelta:
    """Return by how much this process's wall clock is ahead."""
    return timedelta(seconds=int.from_bytes(Path(os.environ["CHAOS_CLOCK"]).read_bytes(), "little", signed=True))


def keep_storage_at_machine_time() -> None:
    """Sign requests and policies of forms with the machine's time."""
    import minio.credentials.providers  # imported here, because decoders do without
    import minio.datatypes
    import minio.time

    utcnow, make_policy = minio.time.utcnow, minio.datatypes.PostPolicy.__init__

    def machine_now() -> datetime:
        return utcnow() - ahead()

    def policy(self: minio.datatypes.PostPolicy, bucket_name: str, expiration: datetime) -> None:
        make_policy(self, bucket_name, expiration - ahead())

    changed: Any = minio
    changed.time.utcnow = changed.credentials.providers.utcnow = machine_now
    changed.datatypes.PostPolicy.__init__ = policy


if "appliance.engine.decode.child" not in sys.orig_argv:
    keep_storage_at_machine_time()
