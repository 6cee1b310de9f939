"""The session of the console. Its pages are files, which the front door serves."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, Field

from appliance.api.context import box, require_same_origin, session_cookie, session_token
from appliance.api.schemas import Body, Text
from appliance.errors import Unauthorized
from appliance.rfc3339 import rfc3339
from appliance.services import sessions
from appliance.services.keys import Scope

blueprint = APIBlueprint(
    "console",
    __name__,
    url_prefix="/console",
    abp_tags=[Tag(name="console", description="The session of a browser. Scripts send a key instead.")],
)
blueprint.before_request(require_same_origin)


class SignIn(Body):
    """Who signs in."""

    key: Text = Field(min_length=1, max_length=200, description="An API key, with whatever scopes.")


class ConsoleSession(BaseModel):
    """Who is signed in."""

    key_name: str
    tenant: str
    scopes: list[Scope]
    ends_at: str = Field(
        json_schema_extra={"format": "date-time"}, description="The session ends then, or after 8 hours without use."
    )


@blueprint.post("/session", responses={201: ConsoleSession})
def sign_in(body: SignIn) -> Response:
    """Sign in with a key: the answer sets a cookie that stands for the key in every call of this browser."""
    token = sessions.open_session(box().db, body.key)
    response = jsonify(_render(token))
    response.status_code = 201
    secure = session_cookie().startswith("__Host-")
    response.set_cookie(session_cookie(), token, httponly=True, samesite="Strict", secure=secure, path="/")
    return response


@blueprint.get("/session", responses={200: ConsoleSession}, security=[{"session": []}])
def get_session() -> tuple[dict[str, Any], int]:
    """Get who is signed in."""
    return _render(_token()), 200


@blueprint.delete("/session", responses={204: None}, security=[{"session": []}])
def sign_out() -> Response:
    """Sign out, which ends the session."""
    sessions.close_session(box().db, _token())
    response = Response(status=204)
    secure = session_cookie().startswith("__Host-")
    response.delete_cookie(session_cookie(), httponly=True, samesite="Strict", secure=secure, path="/")
    return response


def _token() -> str:
    token = session_token()
    if token is None:
        raise Unauthorized("Nobody is signed in. Sign in with a key.")
    return token


def _render(token: str) -> dict[str, Any]:
    signed_in = sessions.authenticate(box().db, token)
    key = signed_in.key
    return {"key_name": key.name, "tenant": key.tenant, "scopes": key.scopes, "ends_at": rfc3339(signed_in.ends_at)}
