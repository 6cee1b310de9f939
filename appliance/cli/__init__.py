"""The command line: composes, without logic of its own."""
