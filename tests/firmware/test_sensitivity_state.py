"""The stored cutoffs that the network raised: they only rise, and survive every power loss."""

import fakes  # noqa: F401
from power_loss_storage import PowerLossDisk, every_power_loss, storage_on
from satellite import protocol
from satellite.config import Config, ConfigError
from satellite.sensitivity_state import FILE, MAX_BYTES, SensitivityState, decode, encode
from wakeword.detector import Detector

WORDS = ("okay_nabu", "alexa")
DAMAGED = None


def started(files, cutoffs=(216, 229), words=WORDS):
    """(state, detectors) of a device that starts with these files."""
    detectors = [Detector(cutoff, 5, 30) for cutoff in cutoffs]
    state = SensitivityState(storage_on(PowerLossDisk(files)), words, detectors)
    state.load()
    return state, detectors


def cutoffs(detectors):
    return [detector.cutoff for detector in detectors]


def test_what_is_stored_comes_back_and_only_ever_raises():
    disk = PowerLossDisk()
    detectors = [Detector(216, 5, 30), Detector(229, 5, 30)]
    state = SensitivityState(storage_on(disk), WORDS, detectors)
    state.load()
    assert cutoffs(detectors) == [216, 229] and not state.is_raised("okay_nabu")
    state.raise_to("okay_nabu", 950)
    assert cutoffs(detectors) == [242, 229] and list(disk.written) == [FILE]
    again, detectors = started(disk.written)
    assert cutoffs(detectors) == [242, 229] and not again.is_damaged
    assert again.is_raised("okay_nabu") and not again.is_raised("alexa")
    assert again.cutoffs() == [950, 899]
    again.raise_to("okay_nabu", 964)  # the detector has 245 of 255, which is 961 of 1000
    assert again.cutoffs() == [964, 899]
    # what is configured higher stays higher
    again, detectors = started(disk.written, cutoffs=(250, 229))
    assert cutoffs(detectors) == [250, 229] and not again.is_raised("okay_nabu")


def test_only_a_rise_of_a_hundredth_of_a_word_that_it_listens_for():
    state, _ = started({})
    for word, thousandths, may in (
        ("okay_nabu", 858, True),  # 216 of 255 is 0.847
        ("okay_nabu", 857, False),
        ("okay_nabu", 848, False),
        ("okay_nabu", 100, False),
        ("alexa", 909, True),
        ("alexa", 908, False),
        ("hey_jarvis", 990, False),
    ):
        assert state.may_raise(word, thousandths) == may, (word, thousandths)
    state.raise_to("okay_nabu", 900)
    assert not state.may_raise("okay_nabu", 909) and state.may_raise("okay_nabu", 910)
    state.raise_to("okay_nabu", 981)
    assert not state.may_raise("okay_nabu", 990)


def test_a_word_can_be_raised_a_bounded_number_of_times():
    state, _ = started({}, cutoffs=(0, 229))
    rises = 0
    for _ in range(3):
        for thousandths in range(100, 991):
            if state.may_raise("okay_nabu", thousandths):
                state.raise_to("okay_nabu", thousandths)
                rises += 1
    assert rises == 90


def test_a_rise_that_could_not_be_stored_holds_and_may_be_asked_for_again():
    disk = PowerLossDisk(full_at=10)
    detectors = [Detector(216, 5, 30)]
    state = SensitivityState(storage_on(disk), WORDS[:1], detectors)
    state.load()
    try:
        state.raise_to("okay_nabu", 950)
        raise AssertionError("a full disk took it")
    except OSError:
        pass
    assert cutoffs(detectors) == [242] and not state.is_raised("okay_nabu")
    assert state.may_raise("okay_nabu", 950)
    disk.full_at = None
    state.raise_to("okay_nabu", 900)  # less, and what holds is not lowered by it
    assert cutoffs(detectors) == [242] and state.is_raised("okay_nabu")


def test_damage_means_the_highest_cutoff_for_every_word():
    good = encode({"okay_nabu": 950})
    state, detectors = started({FILE: good[:-1]})
    assert state.is_damaged and cutoffs(detectors) == [252, 252]
    assert state.is_raised("okay_nabu") and state.is_raised("alexa")
    assert not state.may_raise("okay_nabu", 990)

    class Broken:
        def read(self, name, limit):
            raise OSError(5)

    detectors = [Detector(216, 5, 30)]
    state = SensitivityState(Broken(), WORDS[:1], detectors)
    state.load()
    assert state.is_damaged and cutoffs(detectors) == [252]


def test_any_other_byte_or_length_is_damage():
    data = encode({"okay_nabu": 950, "alexa": 100})
    assert decode(data) == {"okay_nabu": 950, "alexa": 100}
    for at in range(len(data)):
        assert decode(data[:at]) is DAMAGED, at
        for change in range(1, 256):
            bad = bytearray(data)
            bad[at] ^= change
            assert decode(bytes(bad)) is DAMAGED, (at, change)
    assert decode(data + b"\n") is DAMAGED and decode(data + data) is DAMAGED
    assert decode(None) == {}


def test_what_no_device_writes_is_damage_even_with_its_checksum():
    import binascii

    def file(line):
        return line + b"%08x\n" % binascii.crc32(line)

    assert decode(file(b"earnest sensitivity 1 alexa=990\n")) == {"alexa": 990}
    for line in (
        b"earnest sensitivity 2 alexa=990\n",
        b"earnest sensitivity 1 alexa=991\n",
        b"earnest sensitivity 1 alexa=99\n",
        b"earnest sensitivity 1 alexa=0990\n",
        b"earnest sensitivity 1 alexa=900 alexa=900\n",
        b"earnest sensitivity 1 okay_nabu=900 alexa=900\n",
        b"earnest sensitivity 1 alexa\n",
        b"earnest sensitivity 1 al.exa=900\n",
        b"earnest sensitivity 1 alexa=900 \n",
        b"mute 1 open\n",
    ):
        assert decode(file(line)) is DAMAGED, line
    words = ("w" * 31 + "1", "w" * 31 + "2", "w" * 31 + "3", "w" * 31 + "4")
    assert len(encode(dict([(word, 990) for word in words]))) <= MAX_BYTES


def test_power_loss_at_every_step_leaves_the_old_cutoff_or_the_new_one():
    def work(storage):
        state = SensitivityState(storage, WORDS, [Detector(216, 5, 30), Detector(229, 5, 30)])
        state.load()
        state.raise_to("okay_nabu", 950)

    for files, old in (({}, 216), ({FILE: encode({"okay_nabu": 900})}, 229)):
        seen = set()
        for found in every_power_loss(files, work):
            state, detectors = started(found)
            assert not state.is_damaged and detectors[1].cutoff == 229
            seen.add(detectors[0].cutoff)
        assert seen == {old, 242}, seen


def test_the_limits_are_those_of_the_configuration():
    for thousandths in (99, 100, 101, 989, 990, 991):
        setting = {"alexa": {"probability_cutoff": thousandths / 1000}}
        try:
            Config({"models": ["alexa"], "sensitivity": setting})
            is_allowed = True
        except ConfigError:
            is_allowed = False
        assert protocol.is_cutoff(thousandths) == is_allowed, thousandths
