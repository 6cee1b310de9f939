"""The front door: one Caddy that serves the API and the upload bucket on one origin."""
