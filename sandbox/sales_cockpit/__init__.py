"""Imitation of the NUTBASER Sales Cockpit behind the contract of docs/systems/sales_cockpit_contract.md."""
