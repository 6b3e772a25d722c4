"""The Sales Cockpit through the product's doors: both sandboxes, the sign-in, two people of different rights."""
