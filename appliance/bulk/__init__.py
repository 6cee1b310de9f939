"""Analysis without API and database: the loop behind ``detect`` and ``bulk``, and the shards of ``bulk``."""
