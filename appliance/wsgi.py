"""What gunicorn serves: ``gunicorn 'appliance.wsgi:create()'``."""

from __future__ import annotations

from flask import Flask

from appliance.api.app import create_app
from appliance.config import load_settings
from appliance.log import configure_logging
from appliance.services.open import open_box


def create() -> Flask:
    """The API of the box that the environment's settings name."""
    settings = load_settings()
    configure_logging(settings.log_level, "api")
    return create_app(open_box(settings))
