"""The command line, `concai`: a file for each command."""

from server.cli.app import main

__all__ = ["main"]
