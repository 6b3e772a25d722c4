"""Azurite's table service for the tests: installed once from a lock file, started once per test process."""
