"""Object storage: the S3 servers, and the objects in the upload bucket."""
