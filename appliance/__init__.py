"""An on-premises appliance that listens: audio in over REST, timestamped detections out."""

from pathlib import Path

__version__ = "0.1.0"
ROOT = Path(__file__).resolve().parent.parent  # of the checkout. Here, so that a decoder gets it without the settings
