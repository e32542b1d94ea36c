"""Names of the variables through which the server speaks to the worker it will start."""

RUN_DIR = "VLLM_CONCORDANCE_RUN_DIR"
"""The folder of the hosts' sockets, where the worker puts its arenas."""

SOFT_DEADLINE = "VLLM_CONCORDANCE_SOFT_DEADLINE"
"""Seconds that one step waits for all hosts together."""
