"""HTTPS at the front door: with the operator's certificate, or with one of a CA that Caddy makes for itself."""

from __future__ import annotations

from pathlib import Path

from appliance.frontdoor.door import FrontDoor, Tls

CA_PATH = "/ca.crt"  # where the root certificate of the own CA can be downloaded without a key
CA_NAME = "Audio inference appliance"
_TAG = "door"
_HTTPS_PORT = 443


def root_certificate(folder: Path) -> Path:
    """Return where Caddy keeps the root certificate of its own CA; ``folder`` is the front door's."""
    return folder.absolute() / "data" / "pki" / "authorities" / "local" / "root.crt"


def tls_apps(door: FrontDoor) -> dict:
    """Return the apps that get and keep the certificate. The CA is not put into the machine's list of trusted ones."""
    if door.tls is None:
        return {}
    if door.tls.files:
        certificate, key = door.tls.files
        file = {"certificate": str(certificate), "key": str(key), "tags": [_TAG]}
        return {"tls": {"certificates": {"load_files": [file]}}}
    names = list(door.tls.names)
    policy = {"subjects": names, "issuers": [{"module": "internal"}]}
    return {
        "tls": {"certificates": {"automate": names}, "automation": {"policies": [policy]}},
        "pki": {"certificate_authorities": {"local": {"name": CA_NAME, "install_trust": False}}},
    }


def connection_policies(tls: Tls) -> dict:
    """Return the options of a server that speaks TLS. A client that names no host or another one is answered too."""
    if tls.files:
        policy: dict = {"certificate_selection": {"any_tag": [_TAG]}}
    else:
        policy = {"default_sni": tls.names[0], "fallback_sni": tls.names[0]}
    return {"tls_connection_policies": [policy], "protocols": ["h1", "h2"]}


def ca_routes(door: FrontDoor) -> list[dict]:
    """Return the route to the root certificate of the own CA. Only that file is served: its key lies beside it."""
    if door.tls is None or door.tls.files:
        return []
    root = root_certificate(door.folder)
    kind = {"handler": "headers", "response": {"set": {"Content-Type": ["application/x-x509-ca-cert"]}}}
    rewrite = {"handler": "rewrite", "uri": f"/{root.name}"}
    serve = {"handler": "file_server", "root": str(root.parent), "hide": [str(root.with_suffix(".key"))]}
    match = {"method": ["GET", "HEAD"], "path": [CA_PATH]}
    return [{"match": [match], "handle": [kind, rewrite, serve], "terminal": True}]


def redirect_routes(door: FrontDoor) -> list[dict]:
    """Return the routes of the port for plain HTTP: to the CA's certificate, and from all else to HTTPS."""
    port = "" if door.port == _HTTPS_PORT else f":{door.port}"
    location = f"https://{{http.request.host}}{port}{{http.request.uri}}"
    redirect = {"handler": "static_response", "status_code": 308, "headers": {"Location": [location]}}
    return [*ca_routes(door), {"handle": [redirect]}]
