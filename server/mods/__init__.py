"""The mods that callers uploaded: where they are kept, and the routes to them."""
