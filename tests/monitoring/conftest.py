"""The box of the services, whose page of metrics the rules and the dashboard use."""

from tests.services.conftest import box, box_models, objects  # noqa: F401
