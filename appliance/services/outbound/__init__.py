"""Calls to URLs that clients name: which addresses they may reach, and one bounded connection to each."""
