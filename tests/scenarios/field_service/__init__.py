"""The stories with a field service."""
