"""What gunicorn serves: ``gunicorn 'appliance.wsgi:create()'``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.api.app import create_app
from appliance.api.arrivals import beside_arrivals
from appliance.config import load_settings
from appliance.log import configure_logging
from appliance.services.box import open_box

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def create() -> WSGIApplication:
    """The API of the box that the environment's settings name, and what takes storage's events."""
    settings = load_settings()
    configure_logging(settings.log_level, "api")
    box = open_box(settings)
    return beside_arrivals(create_app(box), box)
