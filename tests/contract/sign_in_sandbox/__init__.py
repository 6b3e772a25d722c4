"""The sign-in sandbox held against what Microsoft documents about its service."""
