"""The start of a definition: pure, from what two systems tell of their tables."""
