"""How a mod runs: packages, their compiled traits, the session machine and the host processes."""
