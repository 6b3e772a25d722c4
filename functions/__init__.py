"""The doors of the product: triggers, and one call each."""
