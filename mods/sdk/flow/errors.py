"""What is wrong with a flow."""

from __future__ import annotations


class FlowError(ValueError):
    """A route that leads nowhere or round in circles; the message names question and answer."""
