"""Faults under load: kills, stops and restarts, while clients send recordings, and an audit of what became of them."""
