"""Pure parts of IFS field service."""
