"""Models that score windows: from audio to scores over time, and from scores to detections or vectors."""
