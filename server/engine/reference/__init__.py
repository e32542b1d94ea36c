"""The reference loop: the same machine, driven by a plain token loop, one request at a time."""
