"""Paths of the API that the front door treats in a special way. The API imports them from here."""

RAW_UPLOAD = "/v2/upload"  # POST: the body is one file
BATCH_UPLOAD = "/transcribe/files/upload"  # POST: the body is a form with many files
MODEL_UPLOAD = "/api/v1/admin/models"  # POST: the body is a form with the files of a model
FORM_BYTES = 1024**2  # room for the form around the files
BULK_ANNOTATIONS = "/api/v1/datasets/*/annotation-sets/*/annotations/bulk"  # POST: the body is a long list
BULK_BYTES = 4 * 1024**2  # 10,000 annotations take 1.5 MB
PLAIN_ERRORS = "/v2/"  # below this prefix an error is {"error": sentence} instead of a problem
