"""Who may ask the server for what: users, their keys, and what is kept of them."""
