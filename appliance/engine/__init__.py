"""The engine: recordings in, detections, vectors or text out. It knows no web, no database and no storage."""
