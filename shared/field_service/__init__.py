"""What a field service asks and tells: checks before it registers a transaction."""
