"""Connector of the NUTBASER Sales Cockpit."""
