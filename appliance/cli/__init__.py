"""The command line. It composes the other packages and has no logic of its own."""
