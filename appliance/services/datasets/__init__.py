"""Datasets: recordings that are normalized, embedded, searched by similarity and annotated."""
