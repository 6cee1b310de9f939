"""Transcripts of speech, and the three routes by which recordings arrive: raw, batch and presigned."""
