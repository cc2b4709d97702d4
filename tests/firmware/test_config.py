"""The configuration: fields at their limits and past them, private defaults, no secrets out."""

import json

import fakes  # noqa: F401
from power_loss_storage import PowerLossDisk, every_power_loss, storage_on
from satellite import config
from satellite.config import FILE, MAX_BYTES, NAMES, Config, ConfigError

SECRET = "correct horse"


def refused(field, text_or_values):
    """The error that the text or dict gets; it must be about `field`."""
    text = text_or_values
    if isinstance(text, dict):
        text = json.dumps(text)
    try:
        Config.from_json(text)
    except ConfigError as error:
        assert error.field == field, (error.field, field, text)
        words = str(error)
        assert field in words and error.allowed and error.allowed in words, words
        return error
    raise RuntimeError(("accepted", text))


def accepted(values):
    made = Config.from_json(json.dumps(values))
    for name in values:
        value = values[name]
        got = getattr(made, name)
        assert got == (tuple(value) if isinstance(value, list) else value), (name, got)
    return made


def test_defaults_are_private():
    made = Config.defaults()
    assert made.preroll_ms == 0
    for name in ("keep_recordings", "share_for_training", "insecure", "muted_on_boot"):
        assert getattr(made, name) is False, name
    assert made.timers is False and made.announcements is False and made.volume <= made.volume_max
    for name in ("receiver_host", "wifi_ssid", "wifi_password"):
        assert getattr(made, name) == "", name
    assert made.max_stream_ms == 15000 and made.models == ("okay_nabu",)
    assert Config.from_json("{}").to_json() == made.to_json()


def test_numbers_at_and_past_their_limits():
    limits = (
        ("receiver_port", 1, 65535, 1),
        ("refractory_ms", 0, 10000, 1),
        ("preroll_ms", 0, 500, 10),
        ("max_stream_ms", 1000, 60000, 10),
        ("end_of_speech_ms", 300, 3000, 10),
        ("no_speech_ms", 1000, 5000, 10),
        ("brightness", 8, 255, 1),
        ("volume", 0, 100, 1),
        ("volume_max", 0, 100, 1),
    )
    for name, low, high, step in limits:
        for value in (low, high, low + step):
            accepted({name: value})
        wrong = [low - step, high + step, low - 1, high + 1, -1, 1 << 70, 0.5, float(low), True]
        for value in wrong + [None, "", str(low), [low], {}]:
            error = refused(name, {name: value})
            assert str(low) in error.allowed and str(high) in error.allowed, error.allowed
        if step > 1:
            refused(name, {name: low + 1})


def test_sensitivity_at_and_past_its_limits():
    def words(setting, word="okay_nabu"):
        return {"sensitivity": {word: setting}}

    for cutoff in (0.1, 0.101, 0.5, 0.949, 0.99):
        accepted(words({"probability_cutoff": cutoff}))
        accepted(words({"probability_cutoff": cutoff, "sliding_window_size": 12}))
    for window in (1, 50):
        accepted(words({"sliding_window_size": window}))
    accepted({"sensitivity": {}})
    for cutoff in (0.099, 0.991, 0, 1, 1.0, -0.5, 0.9005, True, None, "0.9", [0.9]):
        refused("sensitivity", words({"probability_cutoff": cutoff}))
    for window in (0, 51, 5.0, True, None, "5"):
        refused("sensitivity", words({"sliding_window_size": window}))
    for setting in ({}, {"cutoff": 0.9}, [], None, "low", 0.9):
        refused("sensitivity", words(setting))
    refused("sensitivity", words({"sliding_window_size": 5}, "alexa"))  # it does not listen for it
    refused("sensitivity", words({"sliding_window_size": 5}, "a b"))
    for value in ([], None, "low", 1):
        refused("sensitivity", {"sensitivity": value})


def test_what_the_detectors_take_of_it():
    both = {"probability_cutoff": 0.9, "sliding_window_size": 12}
    sensitivity = {"alexa": both, "hey_jarvis": {"sliding_window_size": 9}}
    made = Config({"models": ["okay_nabu", "alexa", "hey_jarvis"], "sensitivity": sensitivity})
    assert made.detector_settings() == [None, (229, 12), (None, 9)]
    again = Config.from_json(made.to_json())
    assert again.sensitivity == sensitivity and again.to_json() == made.to_json()
    for thousandths in range(100, 991):  # as the converter computes it, exactly
        assert config.cutoff_of(thousandths / 1000) == 255 * thousandths // 1000


def test_only_true_and_false_are_yes_and_no():
    for name in ("insecure", "keep_recordings", "muted_on_boot", "timers", "announcements"):
        accepted({name: True})
        accepted({name: False})
        for value in (0, 1, None, "true", "", [], [False]):
            refused(name, {name: value})


def test_texts_at_and_past_their_limits():
    cases = (
        ("wifi_ssid", ["", "a", "a" * 32, "caf\xe9 2"], ["a" * 33, "\xe9" * 17, "a\n", "\x7f", 1]),
        ("receiver_host", ["", "a" * 253, "192.168.1.7", "fe80::1"], ["a" * 254, "a b", "a/b"]),
        ("receiver_name", ["a", "a" * 63, "receiver.lan"], ["", "a" * 64, "a_b", "*", None]),
        ("ssl_certificate", ["a", "a" * 64], ["", "a" * 65, "a/b", "../a\\", 7]),
        ("ssl_key", ["k.der"], ["", "/k.der"]),
        ("ssl_ca", ["ca.der"], ["", "c a"]),
    )
    for name, good, bad in cases:
        for value in good:
            accepted({name: value})
        for value in bad:
            refused(name, {name: value})


def test_passwords_at_and_past_their_limits_are_never_shown():
    for value in ("", "a" * 8, "a" * 63, "0123456789abcdefABCDEF0123456789" * 2, SECRET):
        made = accepted({"wifi_ssid": "net", "wifi_password": value})
        assert not value or value not in repr(made), value
        assert "hidden" in repr(made) or not value
    for value in ("a" * 7, "a" * 65, "g" * 64, "caf\xe9 4567", "a\nbcdefgh", 12345678, [SECRET]):
        error = refused("wifi_password", {"wifi_ssid": "net", "wifi_password": value})
        assert str(value) not in str(error) and "hidden" in str(error), error
        assert error.value == "(hidden)" and not any(str(value) in str(a) for a in error.args)
    # Nor when another field is wrong.
    error = refused("brightness", {"wifi_ssid": "n", "wifi_password": SECRET, "brightness": 0})
    assert SECRET not in str(error) and "0" in str(error)


def test_model_names():
    accepted({"models": ["alexa"]})
    accepted({"models": ["a", "b", "c", "d"]})
    accepted({"models": ["a" * 32]})
    for value in ([], ["a", "b", "c", "d", "e"], ["a", "a"], ["a" * 33], ["../a"], [""], [1], "a"):
        refused("models", {"models": value})


def test_fields_that_only_go_together():
    accepted({"keep_recordings": True})
    accepted({"keep_recordings": True, "share_for_training": True})
    refused("share_for_training", {"share_for_training": True})
    refused("wifi_ssid", {"wifi_password": "12345678"})


def test_unknown_fields_are_refused():
    for name in ("Preroll_ms", "preroll", "", "__class__", "unmute_from_network", "x" * 1000):
        refused(name[:40], {name: 1})


def test_a_field_given_twice_is_refused():
    refused("preroll_ms", '{"preroll_ms": 0, "preroll_ms": 500}')
    refused("preroll_ms", '{"preroll_ms":0,"preroll_ms" : 500}')
    refused("preroll_ms", '{"preroll\\u005fms": 500}')
    accepted({"wifi_ssid": "preroll_ms", "preroll_ms": 10})
    accepted({"wifi_ssid": '"preroll_ms":', "preroll_ms": 10})


def test_what_is_no_json_object_is_refused():
    good = Config.defaults().to_json()
    for text in ("", "[]", "1", "null", '"a"', "nonsense", good[:-2], b"\xff\xfe", "[" * 4000):
        refused(FILE, text)
    assert Config.from_json(good.encode()).to_json() == good


def test_the_size_is_limited():
    text = Config.defaults().to_json()
    Config.from_json(text + " " * (MAX_BYTES - len(text)))
    refused(FILE, text + " " * (MAX_BYTES - len(text) + 1))
    disk = PowerLossDisk({FILE: b" " * (MAX_BYTES + 1)})
    try:
        config.load(storage_on(disk))
        raise RuntimeError("loaded")
    except ConfigError as error:
        assert error.field == FILE


def test_it_is_read_only():
    made = Config.defaults()
    for name in NAMES:
        try:
            setattr(made, name, getattr(made, name))
            raise RuntimeError(name)
        except AttributeError:
            pass


def test_a_change_makes_a_new_one():
    first = Config({"wifi_ssid": "net", "wifi_password": SECRET})
    second = first.changed(keep_recordings=True, models=["alexa"])
    assert not first.keep_recordings and second.keep_recordings
    assert second.wifi_password == SECRET and second.models == ("alexa",)
    for wrong in ({"keep_recordings": 1}, {"nothing": 1}):
        try:
            first.changed(**wrong)
            raise RuntimeError(wrong)
        except ConfigError:
            pass


def test_power_loss_at_every_step_leaves_the_old_one_or_the_new():
    old = Config.from_json('{"keep_recordings": true, "receiver_host": "a"}')
    new = old.changed(keep_recordings=False, receiver_host="b")
    seen = set()
    for files in ({FILE: old.to_json().encode()}, {}):
        before = config.load(storage_on(PowerLossDisk(files))).to_json()
        for found in every_power_loss(files, lambda storage: config.store(storage, new)):
            text = config.load(storage_on(PowerLossDisk(found))).to_json()
            assert text in (before, new.to_json()), found
            seen.add(text)
    assert seen == {old.to_json(), new.to_json(), Config.defaults().to_json()}


def test_a_full_disk_keeps_the_old_one():
    old = Config.from_json('{"receiver_host": "a"}')
    size = len(old.to_json())
    disk = PowerLossDisk({FILE: old.to_json().encode()}, full_at=size + 100)
    try:
        config.store(storage_on(disk), old.changed(receiver_host="b"))
        raise RuntimeError("stored")
    except OSError:
        pass
    assert config.load(storage_on(disk)).receiver_host == "a"


def test_damage_never_opens_what_the_owner_closed():
    """Any byte of the file changed: it is refused, or still a configuration that was checked."""
    text = Config.from_json('{"keep_recordings": false}').to_json().encode()
    kept = refusals = 0
    for at in range(len(text)):
        for value in (0, 0x20, 0x22, 0x31, 0x7B, text[at] ^ 1, text[at] ^ 0x80):
            bad = bytearray(text)
            bad[at] = value
            try:
                made = Config.from_json(bytes(bad))
                assert made.keep_recordings is False and made.insecure is False, bad
                assert made.muted_on_boot is False
                kept += 1
            except ConfigError:
                refusals += 1
    assert kept and refusals > kept, (kept, refusals)
