"""Models for transcription: from audio to text, segments and words."""
