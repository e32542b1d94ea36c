"""Settings come from the right place, and a wrong one stops the start with its name."""

from pathlib import Path

import pytest

from server.demo import MODEL_PATH
from server.settings import Settings, SettingsError, all_variable_names

pytestmark = pytest.mark.usefixtures("bare_environment")


def test_the_defaults_serve_the_demo_model_on_this_machine_only() -> None:
    settings = Settings.load()
    assert (settings.model, settings.is_demo) == (str(MODEL_PATH), True)
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.temperature is None


def test_a_variable_wins_over_the_dotenv_file(
    bare_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare_environment / ".env").write_text("CONCORDANCE_PORT=9001\nCONCORDANCE_MAX_HOSTS=3\n")
    monkeypatch.setenv("CONCORDANCE_PORT", "9002")
    settings = Settings.load()
    assert (settings.port, settings.max_hosts) == (9002, 3)


def test_an_option_wins_over_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCORDANCE_PORT", "9002")
    monkeypatch.setenv("CONCORDANCE_MODEL", "from/variable")
    settings = Settings.load(port=9003, model="from/option")
    assert (settings.port, settings.model) == (9003, "from/option")


def test_an_option_that_was_not_given_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCORDANCE_PORT", "9002")
    assert Settings.load(port=None).port == 9002


def test_model_id_names_the_model_unless_our_own_variable_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MODEL_ID", "theirs/model")
    assert Settings.load().model == "theirs/model"
    monkeypatch.setenv("CONCORDANCE_MODEL", "ours/model")
    assert Settings.load().model == "ours/model"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCORDANCE_PORT", "")
    monkeypatch.setenv("DATABASE_URL", "")
    settings = Settings.load()
    assert (settings.port, settings.database_url) == (8000, None)


@pytest.mark.parametrize("name", ["CONCORDANCE_PROT", "concordance_prot", "CONCORDANCE_HF_TOKEN"])
def test_an_unknown_variable_is_refused_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=f"{name} is no setting; did you mean"):
        Settings.load()


def test_an_unknown_variable_in_the_dotenv_file_is_refused_too(bare_environment: Path) -> None:
    (bare_environment / ".env").write_text("CONCORDANCE_PROT=1\nSOMEBODY_ELSES=1\n")
    with pytest.raises(SettingsError, match=r"CONCORDANCE_PROT.*did you mean CONCORDANCE_PORT"):
        Settings.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONCORDANCE_PORT", "eighty"),
        ("CONCORDANCE_PORT", "0"),
        ("CONCORDANCE_PORT", "70000"),
        ("CONCORDANCE_TEMPERATURE", "nan"),
        ("CONCORDANCE_TEMPERATURE", "-1"),
        ("CONCORDANCE_TOP_P", "1.5"),
        ("CONCORDANCE_TOP_K", "-1"),
        ("CONCORDANCE_MAX_TOKENS", "0"),
        ("CONCORDANCE_SOFT_DEADLINE_MS", "0"),
        ("CONCORDANCE_HARD_DEADLINE_S", "inf"),
        ("CONCORDANCE_LOG_LEVEL", "loud"),
        ("CONCORDANCE_MODS", "no/such/folder"),
        ("CONCORDANCE_BACKEND", "tensorflow"),
        ("QUOTE_LOG_INGEST_URL", "nowhere"),
    ],
)
def test_a_malformed_value_is_refused_by_name_and_value(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name}={value}: ") as refusal:
        Settings.load()
    assert "\n" not in str(refusal.value)


def test_every_malformed_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCORDANCE_PORT", "eighty")
    monkeypatch.setenv("CONCORDANCE_TOP_P", "2")
    with pytest.raises(SettingsError) as refusal:
        Settings.load()
    assert "CONCORDANCE_PORT=eighty" in str(refusal.value)
    assert "CONCORDANCE_TOP_P=2" in str(refusal.value)


@pytest.mark.parametrize("name", ["huggingface", "HuggingFace", "hf", "vllm", "VLLM"])
def test_a_backend_goes_by_its_name_in_any_case(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().backend == "vllm"
    monkeypatch.setenv("CONCORDANCE_BACKEND", name)
    assert Settings.load().backend == ("vllm" if name.lower() == "vllm" else "huggingface")


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hush@here/traces")
    monkeypatch.setenv("HF_TOKEN", "hf_hush")
    assert "hush" not in repr(Settings.load())
    monkeypatch.setenv("DATABASE_URL", "mysql://me:hush@here/traces")
    with pytest.raises(SettingsError, match="DATABASE_URL: expected a postgresql") as refusal:
        Settings.load()
    assert "hush" not in str(refusal.value)


def test_a_folder_may_begin_with_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCORDANCE_HOME", "~/traces")
    assert Settings.load().home == Path("~/traces").expanduser()


def test_every_variable_sets_one_thing_only() -> None:
    names = all_variable_names()
    assert len(names) == len(set(names))
