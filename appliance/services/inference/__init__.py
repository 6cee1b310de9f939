"""Inference jobs: files in which a model detects artifacts."""
