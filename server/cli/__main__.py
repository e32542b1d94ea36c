"""`python -m server.cli` is `concai`."""

from server.cli.app import main

main()
