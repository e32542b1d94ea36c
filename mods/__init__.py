"""Mods: what an author writes (`sdk`), how it runs (`runtime`), and stock ones (`library`)."""
