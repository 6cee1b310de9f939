"""An on-premises appliance that listens: audio in over REST, timestamped detections out."""

__version__ = "0.1.0"
