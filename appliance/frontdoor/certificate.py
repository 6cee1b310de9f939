"""How long the certificate is valid that the front door shows to its clients."""

from __future__ import annotations

import socket
import ssl
import time

_SECONDS = 2.0
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED


def seconds_left(host: str, port: int) -> float:
    """Return for how many seconds from now the certificate of the server is valid; 0 if it has expired.

    This asks the server, since a file that was replaced is not what clients see before a restart. Raises OSError.
    """
    shown = ssl.get_server_certificate((host, port), timeout=_SECONDS)
    # Python reads only certificates that it trusts, so it is told to trust this one, whoever signed it.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=shown)
    try:
        with socket.create_connection((host, port), _SECONDS) as connection, context.wrap_socket(connection) as secured:
            expires = str((secured.getpeercert() or {})["notAfter"])
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _EXPIRED:
            return 0.0
        raise
    return max(0.0, ssl.cert_time_to_seconds(expires) - time.time())
