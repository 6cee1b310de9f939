"""Measures what the appliance costs beside what this machine can do, and beside others: ``scripts/bench``."""
