"""Mods and bundles that try to get out, or to harm others. None may succeed."""
