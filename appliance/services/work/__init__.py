"""The rules of the queue: kinds of work, leases on claimed work, and the sweep."""
