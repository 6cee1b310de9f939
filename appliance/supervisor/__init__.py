"""The supervisor, which starts the other processes and restarts those that die."""
