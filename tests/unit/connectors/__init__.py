"""Tests of the HTTP layer, the token sources and the pure parts of the connectors."""
