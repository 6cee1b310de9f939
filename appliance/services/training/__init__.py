"""Training of a detector from the annotations of a tenant's datasets."""
