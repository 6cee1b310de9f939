"""Paths of the API that the front door treats in a special way. The API imports them from here."""

RAW_UPLOAD = "/v2/upload"  # POST: the body is one file
BATCH_UPLOAD = "/transcribe/files/upload"  # POST: the body is a form with many files
PLAIN_ERRORS = "/v2/"  # below this prefix an error is {"error": sentence} instead of a problem
