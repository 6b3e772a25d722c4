"""What an administrator of Dynamics 365 imports so that people open the Sales Cockpit from an opportunity."""
