"""What runs inside vLLM's worker: decisions of mods, as edits of the batch's logits."""
