"""The contract of the Connector port, the same for every system."""
