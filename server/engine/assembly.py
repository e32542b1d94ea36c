"""The engine that requests go through: vLLM's, with mods, and with constraints tried out first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mods.runtime.grammar.options import Options
from mods.runtime.grammar.source import VocabularySource
from mods.runtime.host.pool import HostPool
from mods.runtime.host.tokens import ModelTokens
from mods.runtime.matchers import GrammarMatchers
from mods.sdk.tokenizer import load_tokenizer
from processors.vocabulary import ends_of, vocabulary_of
from server.constraints.admission import Admission
from server.constraints.triers import Triers
from server.engine.client import ModEngine
from server.engine.grammars import EngineGrammars, GrammarLink
from server.engine.local import LocalHost
from server.traces.watching import UNOBSERVED, Observer


@asynccontextmanager
async def mod_engine(
    engine: Any, pool: HostPool, health_timeout: float, jumps: bool, observer: Observer = UNOBSERVED
) -> AsyncIterator[tuple[ModEngine, Admission]]:
    """Stops what it started when the context ends.

    health_timeout: seconds. jumps: whether tokens that a constraint leaves no choice about may
    enter unsampled. observer: makes the traces.
    """
    tokens = model_tokens(engine)
    source = VocabularySource.of(engine.renderer.tokenizer, tokens.width, tokens.ends)
    admission = Admission(Triers(source, tokens.options))
    link = GrammarLink(pool.run_dir)
    matchers = GrammarMatchers(vocabulary_of(engine.vllm_config), tokens.options)
    local = LocalHost(load_tokenizer(pool.tokenizer_path), matchers)
    await admission.start()
    try:
        grammars = EngineGrammars(admission, link)
        yield ModEngine(engine, grammars, local, health_timeout, jumps, observer), admission
    finally:
        link.close()
        await admission.stop()


def model_tokens(engine: Any) -> ModelTokens:
    """What hosts must know of the model's vocabulary."""
    config = engine.vllm_config
    width, ends = engine.model_config.get_vocab_size(), tuple(ends_of(config))
    return ModelTokens(width, ends, options_of(config))


def options_of(config: Any) -> Options:
    """The operator's flags about JSON, which stock vLLM's grammars obey as well."""
    given = config.structured_outputs_config
    return Options(
        disable_any_whitespace=bool(given.disable_any_whitespace),
        disable_additional_properties=bool(given.disable_additional_properties),
    )
