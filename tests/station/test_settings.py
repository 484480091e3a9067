"""Settings: where they come from, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from station.settings import SettingsError, load_settings, settings_file


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and an empty user configuration."""
    for name in ("TWINSCOPE_SETTINGS", "TWINSCOPE_DATA", "TWINSCOPE_TEM__SEED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "twinscope.toml"
    path.write_text(text, encoding="utf-8")
    return path


def message(**kwargs: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(**kwargs)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_everything_has_a_default():
    settings = load_settings()
    assert settings.tem.driver == "simulated"
    assert settings.tem.specimen == "procedural"
    assert settings.data.is_absolute()


def test_the_file_of_the_working_directory_is_found(elsewhere: Path):
    write(elsewhere, '[tem]\nprofile = "ideal"\n')
    assert load_settings().tem.profile == "ideal"


def test_the_users_file_is_found_where_the_directory_has_none(elsewhere: Path):
    folder = elsewhere / "config" / "twinscope"
    folder.mkdir(parents=True)
    write(folder, "[tem]\nseed = 5\n")
    assert load_settings().tem.seed == 5


def test_the_environment_wins_over_the_file(elsewhere: Path, monkeypatch: pytest.MonkeyPatch):
    write(elsewhere, "[tem]\nseed = 5\n")
    monkeypatch.setenv("TWINSCOPE_TEM__SEED", "6")
    assert load_settings().tem.seed == 6


def test_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TWINSCOPE_TEM__SEED", "6")
    assert load_settings(None, {"tem": {"seed": 7}}).tem.seed == 7


def test_an_option_that_was_not_given_leaves_the_file_in_force(elsewhere: Path):
    write(elsewhere, "[tem]\nseed = 5\n")
    assert load_settings(None, {"data": None, "tem": {"seed": None}}).tem.seed == 5


def test_a_wrong_value_names_file_key_and_value(elsewhere: Path):
    write(elsewhere, "[tem]\nclock_rate = -1.0\n")
    text = message()
    assert text == "twinscope.toml: tem.clock_rate is -1.0: input should be greater than 0"


def test_a_value_that_is_not_a_number_is_refused(elsewhere: Path):
    write(elsewhere, "[tem]\nclock_rate = nan\n")
    assert message().startswith("twinscope.toml: tem.clock_rate is nan:")


def test_an_unknown_key_lists_the_allowed_ones(elsewhere: Path):
    write(elsewhere, "[tem]\nsed = 1\n")
    text = message()
    assert "tem.sed is 1: no such setting" in text
    assert "seed" in text


def test_an_unknown_section_lists_the_allowed_ones(elsewhere: Path):
    write(elsewhere, "[sem]\nseed = 1\n")
    text = message()
    assert "sem: no such setting" in text
    assert "allowed: data, operator, md, instruments, tem, afm, simulator, stage, storage" in text


def test_the_station_opens_the_tem_unless_told_otherwise(elsewhere: Path):
    assert load_settings().instruments == ("tem",)
    write(elsewhere, 'instruments = ["tem", "afm"]\n[afm]\nseed = 4\n')
    settings = load_settings()
    assert settings.instruments == ("tem", "afm")
    assert settings.afm.seed == 4


@pytest.mark.parametrize(
    ("given", "message_part"),
    [
        ('["sem"]', "input should be 'tem' or 'afm'"),
        ("[]", "at least 1 item"),
        ('["afm", "afm"]', "name each instrument once"),
    ],
)
def test_instruments_that_do_not_exist_are_refused(elsewhere: Path, given: str, message_part: str):
    write(elsewhere, f"instruments = {given}\n")
    assert message_part in message()


def test_a_wrong_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TWINSCOPE_TEM__SEED", "many")
    assert message().startswith("environment variable TWINSCOPE_TEM__SEED: tem.seed is 'many'")


def test_a_wrong_option_is_laid_at_the_command_line():
    text = message(overrides={"tem": {"seed": -4}})
    assert text.startswith("command line: tem.seed is -4")


def test_broken_toml_names_file_and_line(elsewhere: Path):
    write(elsewhere, "[tem\n")
    text = message()
    assert "twinscope.toml is not TOML" in text
    assert "line 1" in text


def test_a_chosen_file_must_exist(elsewhere: Path):
    assert "does not exist" in message(path=elsewhere / "other.toml")


def test_without_any_file_there_is_none():
    assert settings_file() is None


def test_a_micrograph_needs_its_pixel_size(elsewhere: Path):
    (elsewhere / "image.tif").write_bytes(b"")
    assert "pixel_size_nm" in message(overrides={"tem": {"specimen": "image.tif"}})


def test_a_specimen_that_is_not_there_is_refused():
    assert "no such file" in message(overrides={"tem": {"specimen": "nowhere.tif"}})


@pytest.mark.parametrize("address", ["127.0.0.1:5555", "tcp://nowhere", "http://x:1", ""])
def test_an_address_must_be_one_of_zeromq(address: str):
    assert "tem.address" in message(overrides={"tem": {"address": address}})


@pytest.mark.parametrize("section", ["tem", "afm", "storage", "live"])
def test_a_section_cannot_be_a_single_value(elsewhere: Path, section: str):
    write(elsewhere, f"{section} = 3\n")
    text = message(overrides={"tem": {"seed": 1}})
    assert text.startswith(f"twinscope.toml: {section} is 3: it is a section, [{section}], with")


def test_the_data_folder_outlives_a_change_of_directory(elsewhere: Path):
    assert load_settings(None, {"data": "runs"}).data == elsewhere / "runs"


def test_the_data_folder_cannot_be_a_file(elsewhere: Path):
    (elsewhere / "file").write_text("x")
    text = message(overrides={"data": Path("file")})
    assert text == "command line: data is 'file': it is a file: the path of a folder is needed"


def test_a_folder_must_be_a_path(elsewhere: Path):
    write(elsewhere, "data = 3\n")
    assert message() == "twinscope.toml: data is 3: the path of a folder is needed, in quotes"


def test_a_chosen_file_cannot_be_a_folder(elsewhere: Path):
    assert "is not a file" in message(path=elsewhere)


def test_faults_of_the_simulator_are_off_unless_asked_for(elsewhere: Path):
    assert load_settings().simulator.timeout == 0.0
    write(elsewhere, "[simulator]\ntimeout = 0.1\n")
    assert load_settings().simulator.timeout == 0.1


def test_a_fault_is_a_probability(elsewhere: Path):
    write(elsewhere, "[simulator]\nlimiter = 2\n")
    assert "simulator.limiter is 2: input should be less than or equal to 1" in message()


def test_no_command_meets_two_faults(elsewhere: Path):
    write(elsewhere, "[simulator]\ntimeout = 0.7\nblock = 0.7\n")
    assert "timeout + block + limiter is 1.4: at most 1 is allowed" in message()


def test_a_stage_model_that_is_not_there_is_refused(elsewhere: Path):
    write(elsewhere, '[stage]\nmodel = "monday.json"\n')
    assert "stage.model is 'monday.json': no such file" in message()


def test_an_approach_that_does_not_exist_is_refused(elsewhere: Path):
    write(elsewhere, '[stage]\napproach = "magic"\n')
    assert "'direct', 'over-travel', 'play-inversion' or 'learnt-map'" in message()
