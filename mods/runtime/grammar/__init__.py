"""Constraints as grammars over a model's tokens: compiled once, then a mask for every step."""
