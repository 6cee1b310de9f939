"""Any supported recording to mono samples. Files are untrusted, so FFmpeg and libsndfile run in a child process."""
