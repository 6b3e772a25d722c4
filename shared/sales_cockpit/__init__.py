"""The Sales Cockpit beside the engine: what happens while a signed-in user waits, and what is made up for later."""
