"""Packages are imported apart from each other, and errors name the author's own file and line."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from typing import Any

import pytest

from mods.runtime.files import PackageError
from mods.runtime.importer import FINDER
from mods.runtime.load import load_chain
from mods.runtime.package import Package
from mods.runtime.seat import LoadedMod
from mods.sdk.actions import ActionBuilder, ForceTokens
from mods.sdk.events import Added

HEAD = "from mods.sdk import mod\n"
RETURNS = "@mod\ndef {name}(event, actions, tokenizer):\n    return {value}\n"


def returning(value: str, before: str = "", name: str = "f") -> str:
    return HEAD + before + RETURNS.format(name=name, value=value)


def load(
    files: Mapping[str, str], shared: Mapping[str, str] | None = None, **options: Any
) -> LoadedMod:
    return load_chain([Package.from_files(files, **options)], shared or {})[0]


def result(loaded: LoadedMod) -> Any:
    return loaded.handler(Added("r", 0, 1, [1]), ActionBuilder(), None)


def refused(files: Mapping[str, str], shared: Mapping[str, str] | None = None) -> PackageError:
    with pytest.raises(PackageError) as caught:
        load(files, shared)
    return caught.value


def test_a_mod_of_one_file_is_loaded_with_its_traits() -> None:
    loaded = load({"mod.py": returning("actions.force_tokens([7])")}, name="seven")
    assert result(loaded) == ForceTokens([7])
    assert (loaded.traits.name, loaded.traits.reach, loaded.traits.logits) == ("seven", 0, False)


def test_declared_traits_are_kept() -> None:
    source = HEAD + "@mod(reach=5, events='Added', deadline=3)\ndef f(e, a, t): a.backtrack(1)\n"
    traits = load({"mod.py": source}).traits
    assert (traits.reach, traits.events, traits.deadline) == (5, {"Added"}, 3.0)


@pytest.mark.parametrize(
    "line",
    [
        "from utils import WORD",
        "from .utils import WORD",
        "import utils; WORD = utils.WORD",
        "import utils as u; WORD = u.WORD",
        "from . import utils; WORD = utils.WORD",
        "import pkg.deep; WORD = pkg.deep.WORD",
        "import pkg.deep as d; WORD = d.WORD",
        "from pkg import deep; WORD = deep.WORD",
        "from pkg.deep import WORD",
        "from .pkg.deep import WORD",
        "import json, utils, os.path; WORD = utils.WORD",
        "import bundle.utils; WORD = bundle.utils.WORD",
        "from bundle.pkg.deep import WORD",
    ],
)
def test_a_mods_own_files_are_imported_relatively_or_absolutely(line: str) -> None:
    files = {
        "main.py": returning("WORD", line + "\n", name="bundle"),
        "utils.py": "WORD = 'mine'\n",
        "pkg/deep.py": "from utils import WORD\nfrom ..utils import WORD\n",
    }
    assert result(load(files)) == "mine"


def test_an_import_inside_a_function_works_too() -> None:
    source = HEAD + "@mod\ndef f(e, a, t):\n    import utils\n    return utils.WORD\n"
    assert result(load({"mod.py": source, "utils.py": "WORD = 'late'\n"})) == "late"


def test_two_mods_of_a_chain_may_both_have_utils() -> None:
    packages = [
        Package.from_files(
            {"mod.py": returning("WORD", "from utils import WORD\n"), "utils.py": f"WORD = {n}\n"},
            name=f"mod-{n}",
        )
        for n in (1, 2)
    ]
    assert [result(loaded) for loaded in load_chain(packages, {})] == [1, 2]
    assert "utils" not in sys.modules


def test_a_folder_that_is_a_package_runs_its_init() -> None:
    files = {
        "__init__.py": "from .words import WORD\n" + returning("WORD"),
        "words.py": "WORD = 3\n",
    }
    assert result(load(files)) == 3


def test_a_file_named_like_a_module_it_imports_gets_the_installed_one() -> None:
    files = {"json.py": returning("json.dumps([1])", "import json\n")}
    assert result(load(files)) == "[1]"


def test_own_files_never_take_the_place_of_the_sdk() -> None:
    files = {"main.py": returning("mod.__module__"), "mods/sdk.py": "mod = None\n"}
    assert result(load(files)) == "mods.sdk.mod"


def test_helper_modules_are_one_for_the_whole_chain() -> None:
    shared = {
        "helpers.py": "from lib.deep import START\nseen = [START]\n",
        "lib/deep.py": "START = 0\n",
    }
    source = returning("seen.append(1) or len(seen)", "from helpers import seen\n")
    packages = [Package.from_source(source, name=name) for name in ("a", "b")]
    first, second = load_chain(packages, shared)
    assert (result(first), result(second)) == (2, 3)


def test_a_mods_own_file_comes_before_a_helper_module() -> None:
    files = {"mod.py": returning("WORD", "from utils import WORD\n"), "utils.py": "WORD = 'own'\n"}
    assert result(load(files, {"utils.py": "WORD = 'shared'\n"})) == "own"


def test_two_chains_share_no_state() -> None:
    files = {"mod.py": returning("seen.append(1) or len(seen)", "seen = []\n")}
    assert [result(load(files)) for _ in range(2)] == [1, 1]


def test_the_reach_of_a_helper_counts_only_where_it_is_imported() -> None:
    shared = {
        "undo.py": "def undo(actions): return actions.backtrack(1)\n",
        "through.py": "import undo\n",
        "safe.py": "X = 1\n",
    }
    for line, reach in [("import safe", 0), ("import undo", None), ("from through import *", None)]:
        assert load({"mod.py": returning("None", line + "\n")}, shared).traits.reach == reach
    late = HEAD + "@mod\ndef f(e, a, t):\n    import through\n"
    assert load({"mod.py": late}, shared).traits.reach is None


def test_older_mods_load_as_they_are() -> None:
    source = (
        "from typing import Any\n"
        "from quote_mod_sdk.mod import ActionBuilder\n"
        "from quote_mod_sdk import mod, ForwardPass, ModEvent\n"
        "from shared.types import Backtrack\n"
        "from max.driver import Tensor\n"
        "@mod\n"
        "def f(event: ModEvent, action: ActionBuilder, tokenizer: Any):\n"
        "    return Tensor.from_numpy([1]).to_numpy().tolist(), Backtrack(1), action.noop()\n"
    )
    loaded = load({"mod.py": source})
    assert result(loaded)[0] == [1]
    assert loaded.traits.reach is None


def test_a_traceback_shows_the_authors_lines() -> None:
    source = HEAD + "@mod\ndef f(event, actions, tokenizer):\n    return 1 / 0  # here\n"
    loaded = load({"pkg/main.py": source}, name="divides")
    with pytest.raises(ZeroDivisionError) as caught:
        result(loaded)
    text = "".join(traceback.format_exception(caught.value))
    assert "return 1 / 0  # here" in text
    assert "pkg/main.py" in text


def test_what_an_import_raises_names_the_file_and_the_line() -> None:
    error = refused({"mod.py": "import utils\n" + returning("1"), "utils.py": "\n\n1 / 0\n"})
    assert "mod 'f' cannot be imported: utils.py, line 3: ZeroDivisionError" in str(error)
    assert (error.file, error.line) == ("utils.py", 3)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("from utils import missing", "cannot import name 'missing' from 'utils'"),
        ("from .missing import x", "No module named 'missing'"),
        ("from ..above import x", "beyond top-level package"),
        ("assert False, 'no'", "AssertionError: no"),
    ],
)
def test_an_import_that_fails_is_told_in_the_mods_own_names(line: str, expected: str) -> None:
    error = refused({"mod.py": f"\n{line}\n" + returning("1"), "utils.py": ""})
    assert expected in str(error)
    assert (error.file, error.line) == ("mod.py", 2)


def test_an_error_in_a_helper_module_names_it() -> None:
    error = refused({"mod.py": "import helpers\n" + returning("1")}, {"helpers.py": "1 / 0\n"})
    assert (error.file, error.line) == ("shared/helpers.py", 1)


def test_a_malformed_declaration_names_its_line() -> None:
    error = refused({"mod.py": HEAD + "\n@mod(reach=-1)\ndef f(e, a, t): ...\n"})
    assert "reach is a whole number" in str(error)
    assert error.line == 3


def test_an_entry_point_that_is_gone_or_no_function_is_refused() -> None:
    assert "'f' is missing" in str(refused({"mod.py": returning("1") + "del f\n"}))
    assert "is a int, no function" in str(refused({"mod.py": returning("1") + "f = 3\n"}))


def test_a_plain_function_named_as_the_entry_point_is_a_mod() -> None:
    loaded = load({"mod.py": "def f(event, actions):\n    return 'two'\n"}, entry="f")
    assert result(loaded) == "two"
    assert loaded.traits.on_error == "fail"


def test_a_chain_that_fails_leaves_nothing_imported() -> None:
    modules, sets = set(sys.modules), set(FINDER.sets)
    refused({"mod.py": "import utils\n1 / 0\n" + returning("1"), "utils.py": ""})
    assert {name for name in set(sys.modules) - modules if "concordance_mod" in name} == set()
    assert set(FINDER.sets) == sets


def test_dataclasses_and_postponed_annotations_work() -> None:
    source = (
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from typing import get_type_hints\n"
        "@dataclass\nclass State:\n    seen: list[int]\n"
        + returning("State([1]).seen, list(get_type_hints(State))")
    )
    assert result(load({"mod.py": source})) == ([1], ["seen"])
