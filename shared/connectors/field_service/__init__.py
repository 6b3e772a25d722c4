"""IFS field service in its two dialects."""
