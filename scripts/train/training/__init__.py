"""Training of the bundled artifact detector: recordings, faults, features, network, calibration, export."""
