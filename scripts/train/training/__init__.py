"""Training of the bundled artefact detector: recordings, faults, features, network, calibration, export."""
