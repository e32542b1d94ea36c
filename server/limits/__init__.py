"""How much of the server one key gets, and how much everybody together."""
