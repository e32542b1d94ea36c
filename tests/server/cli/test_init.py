"""`concai init` makes a project whose mod loads and whose settings are all there."""

from pathlib import Path

from mods.runtime.package import Package
from server.settings import Settings, variable_names
from tests.server.cli.conftest import Concai


def test_the_project_has_settings_a_mod_and_a_readme(
    concai: Concai, bare_environment: Path
) -> None:
    assert concai("init", "ship").exit_code == 0
    made = sorted(path.as_posix() for path in Path("ship").rglob("*") if path.is_file())
    assert made == ["ship/.env", "ship/README.md", "ship/mods/first_mod.py"]


def test_the_mod_is_one(concai: Concai) -> None:
    concai("init")
    assert Package.from_folder("mods/first_mod.py").name == "ahoy"


def test_the_readme_names_the_mod_in_the_model_string(concai: Concai) -> None:
    concai("init")
    text = Path("README.md").read_text()
    assert '"model": "concordance/demo/ahoy"' in text
    assert "{model}" not in text


def test_every_setting_is_in_the_file_and_none_is_set(concai: Concai) -> None:
    concai("init")
    text = Path(".env").read_text()
    for field in Settings.model_fields:
        assert f"\n#{variable_names(field)[0]}=" in text
    assert Settings.load() == Settings()


def test_the_defaults_in_the_file_are_the_defaults(concai: Concai) -> None:
    concai("init")
    path = Path(".env")
    path.write_text(path.read_text().replace("\n#CONCORDANCE", "\nCONCORDANCE"))
    in_file = Settings.load()
    path.unlink()
    assert in_file == Settings.load()


def test_what_is_there_stays_without_force(concai: Concai) -> None:
    Path("README.md").write_text("mine")
    refused = concai("init")
    assert (refused.exit_code, "--force" in refused.stderr) == (1, True)
    assert Path("README.md").read_text() == "mine"
    assert not Path(".env").exists()
    assert concai("init", "--force").exit_code == 0
    assert Path("README.md").read_text() != "mine"
