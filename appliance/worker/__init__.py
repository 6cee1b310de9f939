"""The process that claims work from the queue and runs it in lanes."""
