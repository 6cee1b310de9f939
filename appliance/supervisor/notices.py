"""What a service tells systemd."""

from __future__ import annotations

import os
import socket


def notify(message: str) -> None:
    """Tell systemd about the state of this service, if systemd started it. Raises OSError."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.sendto(message.encode(), address.replace("@", "\0", 1))
