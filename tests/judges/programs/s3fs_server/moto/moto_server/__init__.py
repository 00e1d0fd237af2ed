"""Holds the server that the suite starts."""
