"""HTTP around vLLM's application: the way in, the way out, and our own routes."""
