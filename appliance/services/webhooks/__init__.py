"""Webhooks: events are announced, signed and posted to callback URLs."""
