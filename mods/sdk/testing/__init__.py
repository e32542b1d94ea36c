"""The laws as checks that can be imported, with what is needed to run them in milliseconds."""

from mods.sdk.testing.check import check_laws, check_story
from mods.sdk.testing.laws import LawBroken
from mods.sdk.testing.model import HashModel, TextModel
from mods.sdk.testing.oracle import Oracle
from mods.sdk.testing.outcome import Outcome
from mods.sdk.testing.recorder import Recorder, Story, Turn
from mods.sdk.testing.rehearsal import rehearse
from mods.sdk.testing.scripted import ScriptedEngine, spec_for
from mods.sdk.testing.tokenizer import ByteTokenizer
from mods.sdk.testing.trouble import Trouble

__all__ = [
    "ByteTokenizer",
    "HashModel",
    "LawBroken",
    "Oracle",
    "Outcome",
    "Recorder",
    "ScriptedEngine",
    "Story",
    "TextModel",
    "Trouble",
    "Turn",
    "check_laws",
    "check_story",
    "rehearse",
    "spec_for",
]
