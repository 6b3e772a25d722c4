"""The Sales Cockpit's pure parts."""
