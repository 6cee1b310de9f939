"""The front door: one Caddy that serves the API and the upload bucket on one origin."""

from appliance.frontdoor.door import FrontDoor, find_caddy

__all__ = ["FrontDoor", "find_caddy"]
