"""vLLM's engine with mods: an `EngineClient` whose `generate` runs sessions."""
