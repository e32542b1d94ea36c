"""Numbered SQL files. A number that was released is never changed: add another file."""
