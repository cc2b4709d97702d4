"""`earnest install` and the wake words: models and configuration change together."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from firmware.satellite.config import Config
from host_tools import cli
from host_tools.board import file_set, installer, wake_words
from host_tools.board.personal_data import SENSITIVITY_FILE
from host_tools.board.sensitivity import LEVELS, Change, Own, setting_of, text_of
from host_tools.board.serial_link import SerialLink
from host_tools.commands import install as install_command
from host_tools.errors import HostToolError
from host_tools.models.catalog import ModelFile, find_model
from tests.fakes.board.small_firmware import BOARD, at_operation, write_tree

SECRET = "correct horse"
OWNER = {"wifi_ssid": "home", "wifi_password": SECRET, "receiver_host": "192.0.2.7"}
QUIET = "while True:\n    pass\n"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A small firmware, and models of any name: 1 kB each, cutoff 250, window 5."""
    made = write_tree(tmp_path / "tree", 1)
    (made / "firmware/main.py").write_text(QUIET)

    def find(given):
        name = Path(given).name.removesuffix(".ewm")
        path = made / f"{name}.ewm"
        path.write_text(name[0] * 1024)
        return ModelFile(name, path, name, 250, 5, 1)

    monkeypatch.setattr(wake_words, "find_model", find)
    monkeypatch.setattr(
        wake_words, "available_models", lambda: {"okay_nabu": "", "hey_jarvis": ""}
    )
    monkeypatch.setattr(installer, "LISTEN_S", 0.01)
    return made


def put(board, tree, models=(), changes=()):
    description = replace(BOARD, id=str(tree), folder=tree)
    return installer.install(description, board.port, models, changes, False, tree / "firmware")


def provisioned(board, **fields):
    board.write("config.json", Config({**OWNER, **fields}).to_json())


def config_of(board):
    return Config.from_json((board.folder / "config.json").read_bytes())


def models_of(board):
    return sorted(path.name for path in (board.folder / "models").iterdir())


def test_another_word_on_a_provisioned_board(board, tree):
    """It used to lose the model that its configuration names, and died at every start."""
    put(board, tree)
    provisioned(board, brightness=20)
    before = config_of(board)
    report = put(board, tree, ["hey_jarvis"])
    assert report.models == ["hey_jarvis"] and report.provisioned
    assert config_of(board).to_json() == before.changed(models=["hey_jarvis"]).to_json()
    assert models_of(board) == ["hey_jarvis.ewm"]
    manifest = json.loads((board.folder / "installed.json").read_text())
    assert manifest["models"] == ["hey_jarvis"] and "config.json" not in manifest["files"]
    again = put(board, tree)
    assert (again.copied, again.models) == (0, ["hey_jarvis"])


def test_the_list_and_its_order_are_the_configurations(board, tree):
    provisioned(board, models=["hey_jarvis", "okay_nabu"])
    text = (board.folder / "config.json").read_bytes()
    report = put(board, tree)
    assert report.models == ["hey_jarvis", "okay_nabu"]
    assert models_of(board) == ["hey_jarvis.ewm", "okay_nabu.ewm"]
    assert (board.folder / "config.json").read_bytes() == text
    put(board, tree, ["okay_nabu", "hey_jarvis"])
    assert config_of(board).models == ("okay_nabu", "hey_jarvis")


def test_a_board_without_a_configuration_gets_one_where_it_needs_it(board, tree):
    assert put(board, tree).models == ["okay_nabu"]
    assert not (board.folder / "config.json").exists()
    report = put(board, tree, ["hey_jarvis"])
    assert config_of(board).models == ("hey_jarvis",) and not report.provisioned


def test_a_model_that_only_the_board_has_stays(board, tree):
    put(board, tree)
    data = find_model("alexa").path.read_bytes()
    (board.folder / "models" / "my_word.ewm").write_bytes(data)
    provisioned(board, models=["my_word"])
    assert put(board, tree).models == ["my_word"]
    assert (board.folder / "models" / "my_word.ewm").read_bytes() == data
    (board.folder / "models" / "my_word.ewm").write_bytes(data[:-1])
    with pytest.raises(HostToolError, match=r"models/my_word.ewm on the board: file of"):
        put(board, tree)


def test_a_damaged_configuration_is_left_alone(board, tree):
    board.write("config.json", '{"models": ')
    report = put(board, tree, ["hey_jarvis"])
    assert "config.json is damaged and was not changed: earnest provision" in report.warnings
    assert (board.folder / "config.json").read_text() == '{"models": '


def test_the_board_need_not_be_named_twice(board, tree, monkeypatch):
    with pytest.raises(HostToolError, match="which board is it") as caught:
        installer.install(None, board.port, firmware=tree / "firmware", start=False)
    assert BOARD.id in caught.value.hint and not (board.folder / "installed.json").exists()
    put(board, tree)
    known = {str(tree): replace(BOARD, id=str(tree), folder=tree)}
    monkeypatch.setattr(installer, "load_board", known.__getitem__)
    report = installer.install(
        None, board.port, ["hey_jarvis"], firmware=tree / "firmware", start=False
    )
    assert report.board == str(tree)
    assert not any("board changed" in warning for warning in report.warnings)
    assert config_of(board).models == ("hey_jarvis",)


def test_too_many_words_and_names_that_cannot_be_one(board, tree):
    for words, said in (
        (["a", "b", "c", "d", "e"], "models: "),
        (["a b"], "models: "),
    ):
        with pytest.raises(HostToolError, match=said):
            put(board, tree, words)
    with pytest.raises(HostToolError, match="two models have the name x"):
        put(board, tree, [str(tree / "x.ewm"), str(tree / "y" / "x.ewm")])
    assert not (board.folder / "installed.json").exists()
    assert put(board, tree, ["okay_nabu", "okay_nabu"]).models == ["okay_nabu"]


def test_sensitivity_by_numbers_and_by_level(board, tree):
    provisioned(board)
    report = put(board, tree, ["okay_nabu"], [Change(None, cutoff=0.9), Change(None, window=12)])
    both = {"probability_cutoff": 0.9, "sliding_window_size": 12}
    assert config_of(board).sensitivity == {"okay_nabu": both}
    assert report.sensitivity == {"okay_nabu": "cutoff 0.9, window 12"}
    report = put(board, tree, ["okay_nabu", "hey_jarvis"], [Change("hey_jarvis", level="low")])
    low = {"sliding_window_size": 12}
    assert config_of(board).sensitivity == {"okay_nabu": both, "hey_jarvis": low}
    assert report.sensitivity["hey_jarvis"] == "low"
    with pytest.raises(HostToolError, match="which of the wake words okay_nabu, hey_jarvis"):
        put(board, tree, (), [Change(None, level="low")])
    with pytest.raises(HostToolError, match="alexa is not among the wake words"):
        put(board, tree, (), [Change("alexa", level="low")])
    put(board, tree, (), [Change("okay_nabu", level="normal")])
    assert config_of(board).sensitivity == {"hey_jarvis": low}
    put(board, tree, ["okay_nabu"])  # what belongs to a word that goes, goes
    assert config_of(board).sensitivity == {}


def test_the_levels_are_what_the_firmware_takes():
    for own in (Own(247, 5), Own(216, 5), Own(140, 1), Own(252, 50)):
        for level in LEVELS:
            setting = setting_of(level, own)
            made = Config({"models": ["x"], "sensitivity": {"x": setting} if setting else {}})
            cutoff, window = (made.detector_settings()[0]) or (None, None)
            assert text_of(setting, own) == level or (level, own.window) == ("low", 50)
            if level == "low":
                assert cutoff is None and window >= max(own.window, 12)
            elif level == "high":
                assert cutoff < own.cutoff and window is None
            else:
                assert (cutoff, window) == (None, None)


@pytest.mark.parametrize(
    "option, value, said",
    [
        ("--cutoff", "1", "--cutoff 1 is not allowed"),
        ("--cutoff", "okay_nabu=high", "is not allowed"),
        ("--window", "51", "--window 51 is not allowed"),
        ("--window", "x=0", "--window 0 is not allowed"),
        ("--sensitivity", "lowest", "there is no sensitivity 'lowest'"),
    ],
)
def test_a_sensitivity_that_cannot_be_one(option, value, said, capsys):
    call = ["install", "--board", BOARD.id, "--port", "/dev/null", option, value]
    assert cli.run(call) == 2
    err = capsys.readouterr().err
    assert said in err and "\nhint: " in err


def test_an_error_of_the_line_shows_no_password(board, tree, monkeypatch):
    provisioned(board)
    real = SerialLink.put

    def noisy(link, path, data, progress=None):
        if path == "new/config.json":
            raise HostToolError(f"the device says: NameError: {data.decode()!r}", SECRET)
        real(link, path, data, progress)

    monkeypatch.setattr(file_set.SerialLink, "put", noisy)
    with pytest.raises(HostToolError) as caught:
        put(board, tree, ["hey_jarvis"])
    error = caught.value
    assert SECRET not in error.message + error.hint and "(hidden)" in error.message
    assert error.__suppress_context__ and config_of(board).models == ("okay_nabu",)


def test_what_an_interrupted_copy_left_is_personal(board, tree, tmp_path):
    provisioned(board)
    with pytest.raises(KeyboardInterrupt), at_operation("new/part", _ctrl_c):
        put(board, tree, ["hey_jarvis"])
    assert SECRET in (board.folder / "new/config.json").read_text()
    assert config_of(board).models == ("okay_nabu",)
    data = str(tmp_path / "data")
    assert cli.run(["erase", "--port", board.port, "--data", data, "--yes"]) == 0
    assert not (board.folder / "new/config.json").exists()


def _ctrl_c(_):
    raise KeyboardInterrupt


def test_what_the_options_mean(monkeypatch, capsys):
    seen = []

    def record(board, port, models, changes, start, **_):
        seen.append((board, port, models, changes, start))
        raise HostToolError("seen", "")

    monkeypatch.setattr(install_command, "install", record)
    call = ["install", "-p", "COM7", "--model", "hey_mycroft", "--cutoff", "0.9", "--window", "12"]
    assert cli.run(call) == 2
    changes = [Change(None, cutoff=0.9), Change(None, window=12)]
    assert seen == [(None, "COM7", ("hey_mycroft",), changes, True)]
    assert cli.run([*call, "--sensitivity", "okay_nabu=low", "--no-reset"]) == 2
    assert seen[1][3:] == ([Change("okay_nabu", level="low"), *changes], False)
    assert capsys.readouterr().err.count("error: seen") == 2


def test_a_person_is_asked_for_the_words_of_a_new_board(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("hey_jarvs, alexa\nhey_jarvis, alexa\n"))
    assert install_command._ask() == ["hey_jarvis", "alexa"]
    said = capsys.readouterr().err
    assert said.count("Wake words, separated by commas (okay_nabu, alexa, ") == 2
    assert "error: there is no model hey_jarvs" in said


def test_only_who_sets_a_sensitivity_undoes_what_the_network_raised(board, tree):
    provisioned(board)
    put(board, tree, ["okay_nabu"], [Change(None, cutoff=0.9)])
    raised = board.folder / SENSITIVITY_FILE
    board.write(SENSITIVITY_FILE, "raised")
    put(board, tree)
    put(board, tree, ["okay_nabu", "hey_jarvis"])
    assert raised.read_text() == "raised"
    report = put(board, tree, (), [Change("okay_nabu", cutoff=0.9)])  # as it was: nothing to copy
    assert report.copied == 0 and not raised.exists()
