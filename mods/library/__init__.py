"""Mods that come with the server: each file is one, written as anybody would write it."""
