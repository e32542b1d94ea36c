"""Constraints at the door: read from what clients send, tried out apart, then admitted."""
