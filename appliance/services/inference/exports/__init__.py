"""The results of a job as files for other programs. Each format is a function that writes an export to a file."""
