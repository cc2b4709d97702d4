"""`make test-home-assistant`: a conversation through a real Home Assistant, and what was seen.

Installs Home Assistant (see `installation`), adds a device through its own config flow, and runs
a wake, speech-to-text, an intent, a light that goes on, a spoken reply, a timer, an announcement,
the volume and the mute.  Prints what it saw; the exit status is 1 when something was not as it
should be.  The device is one of few lines (`kitchen`) behind the real receiver, and at the end the
firmware itself, in the simulator.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np

from host_tools.audio import speech
from host_tools.errors import HostToolError
from host_tools.shared_firmware import ROOT as PROJECT
from tests.fakes.receivers import earnest, new_device, receiving
from tests.home_assistant import installation, simulated, speech_server
from tests.home_assistant.kitchen import Kitchen

HERE = Path(__file__).parent
SPEECH_PORT = 10399
HOME_PORT = 16053
BASE = "http://127.0.0.1:8123"
PICTURE = installation.FOLDER / "device.png"
_WORKER = PROJECT / "host_tools" / "answers" / "hearing_worker.py"


class Hands:
    """Home Assistant's user; see hands.py."""

    def __init__(self):
        shutil.copy(HERE / "hands.py", installation.ROOT / "hands.py")
        self._process = subprocess.Popen(
            installation.command(installation.PYTHON, "/hands.py"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=installation.environment(),
        )

    def __call__(self, what, **arguments):
        self._process.stdin.write(json.dumps([what, arguments]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise HostToolError(f"Home Assistant's user failed at {what}", "see what it printed")
        return json.loads(answer)

    def close(self):
        self._process.stdin.close()
        self._process.wait(20)


class Checks:
    """Prints each thing that was seen, and counts what was not as it should be."""

    def __init__(self):
        self.failures = 0
        self._start_s = time.monotonic()

    def see(self, what, value, is_right):
        self.failures += not is_right
        mark = "ok  " if is_right else "FAIL"
        print(f"{time.monotonic() - self._start_s:6.1f} s  {mark}  {what}: {value}", flush=True)


def hear(samples):
    """What was said, by the built-in engine."""
    pcm = np.asarray(samples, "<i2").tobytes()
    done = subprocess.run(
        [sys.executable, str(_WORKER)], input=pcm, capture_output=True, timeout=60
    )
    return done.stdout.decode().strip()


def wait_for(condition, seconds=20.0):
    """Whether `condition()` came true in time."""
    until_s = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.1)
    return True


def is_up():
    try:
        with urllib.request.urlopen(BASE + "/manifest.json", timeout=2) as reply:
            return reply.status == 200
    except OSError:
        return False


def start_home_assistant():
    shutil.rmtree(installation.CONFIG, ignore_errors=True)
    installation.CONFIG.mkdir()
    site = installation.ROOT / "ha/lib/python3.14/site-packages"
    text = (HERE / "configuration.yaml").read_text()
    (installation.CONFIG / "configuration.yaml").write_text(text)
    log = (installation.FOLDER / "home-assistant.log").open("w")
    arguments = (installation.PYTHON, "-m", "homeassistant", "-c", "/config", "--skip-pip")
    assert site.is_dir()
    return subprocess.Popen(
        installation.command(*arguments),
        stdout=log,
        stderr=log,
        env=installation.environment(),
    )


def say(kitchen, text, word="okay_nabu"):
    """Say a command, with the silence around it that the end of speech leaves."""
    silence = np.zeros(8000, np.int16)
    samples = np.concatenate([silence[:1600], speech.synthesise(text), silence])
    kitchen.say(samples.tobytes(), word)


def spoken(kitchen, count):
    """What the device said last, as the engine hears it, once there are `count` sounds."""
    if not wait_for(lambda: len(kitchen.sounds) >= count):
        return "", "nothing"
    kind, samples = kitchen.sounds[-1]
    return kind, hear(np.frombuffer(samples, "<i2"))


def set_up(hands, checks, receiver, data):
    """Add the speech services and the device, and two assistants; returns the assistants."""
    flow = hands("add", domain="wyoming", steps=[{"host": "127.0.0.1", "port": SPEECH_PORT}])
    checks.see("speech services added", flow[-1], flow[-1].get("type") == "create_entry")
    wrong = {"noise_psk": "A" * 43 + "="}
    flow = add_device(hands, data, "kitchen", HOME_PORT, wrong)
    checks.see("asks for the key", flow[1], flow[1].get("step_id") == "encryption_key")
    checks.see("a wrong key", flow[2], flow[2].get("errors") == {"base": "invalid_psk"})
    checks.see("the right key", flow[3], flow[3].get("type") == "create_entry")
    receiver.wait("home-connected")
    listed = hands("ask", type="config/entity_registry/list")
    ours = sorted(row["entity_id"] for row in listed if row["platform"] == "esphome")
    checks.see("entities", ", ".join(ours), "button.earnest_kitchen_mute" in ours)
    checks.see("no switch among them", "", not any(id.startswith("switch.") for id in ours))
    hands(
        "ask",
        type="homeassistant/expose_entity",
        assistants=["conversation"],
        entity_ids=["light.kitchen_light"],
        should_expose=True,
    )
    pipelines = [make_pipeline(hands, listed, name) for name in ("first", "second")]
    hands("ask", type="assist_pipeline/pipeline/set_preferred", pipeline_id=pipelines[0])
    return pipelines


def add_device(hands, data, name, port, *wrong):
    """Go through the config flow as a user would, with wrong answers first; returns its steps."""
    key = earnest(data, "devices", "home-key", name).stdout.strip()
    address = {"host": "127.0.0.1", "port": port}
    return hands("add", domain="esphome", steps=[address, *wrong, {"noise_psk": key}])


def make_pipeline(hands, listed, name):
    """Make an assistant of the local services; returns its id."""
    made = hands(
        "ask",
        type="assist_pipeline/pipeline/create",
        name=name,
        language="en",
        conversation_engine="conversation.home_assistant",
        conversation_language="en",
        stt_engine=next(row["entity_id"] for row in listed if row["entity_id"].startswith("stt.")),
        stt_language="en",
        tts_engine=next(row["entity_id"] for row in listed if row["entity_id"].startswith("tts.")),
        tts_language="en",
        tts_voice="voice",
        wake_word_entity=None,
        wake_word_id=None,
    )
    return made["id"]


def converse(hands, checks, receiver, kitchen):
    """Everything that a person would try."""
    states = hands("states")
    checks.see("the light before", states["light.kitchen_light"], True)
    say(kitchen, "turn on the kitchen light")
    said = receiver.wait("transcript")
    checks.see("it heard", said["text"], "kitchen light" in said["text"].lower())
    kind, answer = spoken(kitchen, 1)
    checks.see("it said", answer, kind == "reply" and "light" in answer.lower())
    state = hands("states")["light.kitchen_light"]
    checks.see("the light after", state, state == "on")

    say(kitchen, "what time is it")
    kind, answer = spoken(kitchen, 2)
    checks.see("what time is it", answer, kind == "reply" and answer != "nothing")

    say(kitchen, "set a timer for five seconds")
    kind, answer = spoken(kitchen, 3)
    checks.see("set a timer for five seconds", answer, "timer" in answer.lower())
    checks.see("it rings", "", wait_for(lambda: "timer" in kitchen.chimes, 15))

    satellite = next(id for id in hands("states") if id.startswith("assist_satellite."))
    hands(
        "service",
        domain="assist_satellite",
        name="announce",
        entity_id=satellite,
        message="the washing machine has finished",
        preannounce=False,
    )
    kind, answer = spoken(kitchen, 4)
    checks.see(
        "announcement", answer, kind == "announcement" and "washing machine" in answer.lower()
    )

    volume = "number.earnest_kitchen_volume"
    hands("service", domain="number", name="set_value", entity_id=volume, value=100)
    is_clipped = wait_for(lambda: hands("states")[volume] == "80.0")
    checks.see("volume 100 is clipped", hands("states")[volume], is_clipped)


def try_second_word(hands, checks, receiver, kitchen, pipelines):
    """The second wake word leads to the second assistant."""
    prefix = "select.earnest_kitchen_"
    for name, option in (
        ("wake_word", "Okay Nabu"),
        ("wake_word_2", "Hey Jarvis"),
        ("assistant_2", "second"),
    ):
        hands(
            "service",
            domain="select",
            name="select_option",
            entity_id=prefix + name,
            option=option,
        )
    refused = receiver.wait("home-refused")
    checks.see("it asked the device", refused["what"] + ": refused", True)
    before = runs(hands, pipelines)
    say(kitchen, "what time is it", "hey_jarvis")
    spoken(kitchen, 5)
    after = runs(hands, pipelines)
    is_second = after[0] == before[0] and after[1] == before[1] + 1
    checks.see("runs of both assistants", f"{before}, then {after}", is_second)


def runs(hands, pipelines):
    """How often each assistant ran."""
    kind = "assist_pipeline/pipeline_debug/list"
    told = [hands("ask", type=kind, pipeline_id=pipeline) for pipeline in pipelines]
    return [len(answer["pipeline_runs"]) for answer in told]


def try_two_devices(hands, checks, receiver, kitchen, hall):
    """Both hear one wake word: one answers, the other stays silent."""
    before = len(kitchen.sounds) + len(hall.sounds)
    text = "turn off the kitchen light"
    speakers = [threading.Thread(target=say, args=(device, text)) for device in (kitchen, hall)]
    for each in speakers:
        each.start()
    for each in speakers:
        each.join()
    failed = receiver.wait("home-failed")
    is_duplicate = failed["reason"].startswith("duplicate_wake_up_detected")
    checks.see(f"two devices hear one word, {failed['device']}", failed["reason"], is_duplicate)
    wait_for(lambda: len(kitchen.sounds) + len(hall.sounds) > before)
    time.sleep(3)
    answers = len(kitchen.sounds) + len(hall.sounds) - before
    is_silent = not kitchen.chimes.count("error") + hall.chimes.count("error")
    checks.see("answers", answers, answers == 1 and is_silent)
    state = hands("states")["light.kitchen_light"]
    checks.see("the light after", state, state == "off")


def mute(hands, checks, kitchen):
    """Home Assistant mutes the device, and sees it."""
    before = hands("states")["binary_sensor.earnest_kitchen_muted"]
    hands("service", domain="button", name="press", entity_id="button.earnest_kitchen_mute")
    checks.see("the device was muted", "", kitchen.is_muted.wait(10))
    muted = "binary_sensor.earnest_kitchen_muted"
    checks.see("muted before and after", before, wait_for(lambda: hands("states")[muted] == "on"))
    light = hands("states")["sensor.earnest_kitchen_light"]
    checks.see("its light", light, light == "red, muted")


def take_picture(hands, checks):
    devices = hands("ask", type="config/device_registry/list")
    device = next(row for row in devices if row["manufacturer"] == "Earnest")
    page = f"/config/devices/device/{device['id']}"
    hands("picture", path="/tmp/device.png", page=page, width=1100, height=1130, left=256)
    shutil.copy(installation.ROOT / "tmp" / "device.png", PICTURE)
    checks.see("picture", PICTURE, PICTURE.stat().st_size > 10000)


def try_firmware(hands, checks, receiver, folder):
    """The same with the firmware, in the simulator: from the wake word to the loudspeaker."""
    result = simulated.say(receiver, folder, "turn on the kitchen light")
    heard = [event["t_ms"] for event in result.detections]
    checks.see("the firmware heard its wake word, ms", heard, len(heard) == 1)
    is_whole = result.streams.are_as_received and result.streams.bytes > 0
    checks.see("it sent, bytes", result.streams.bytes, is_whole)
    said = hear(np.frombuffer(b"".join(result.played.chunks), "<i2"))
    checks.see("its loudspeaker said", said, "light" in said.lower())
    kinds = [(sound["kind"], sound["why"]) for sound in result.sounds]
    checks.see("the sound ended", kinds, kinds == [("reply", "end")])
    state = hands("states")["light.kitchen_light"]
    checks.see("the light after", state, state == "on")


def main():
    checks = Checks()
    installation.install()
    checks.see("installed", installation.HOME_ASSISTANT, True)
    speech_server.serve(SPEECH_PORT, hear)
    home = start_home_assistant()
    hands = Hands()
    try:
        checks.see("started", BASE, wait_for(is_up, 120))
        checks.see("version", hands("onboard"), True)
        with tempfile.TemporaryDirectory() as temporary:
            data = Path(temporary, "receiver")
            folder = new_device(data, "kitchen")
            options = ("--home-assistant", "--home-port", HOME_PORT)
            with receiving(data, *options) as receiver:
                kitchen = Kitchen(receiver.port, folder)
                receiver.wait("home-offered")
                pipelines = set_up(hands, checks, receiver, data)
                converse(hands, checks, receiver, kitchen)
                try_second_word(hands, checks, receiver, kitchen, pipelines)
                hall_folder = new_device(data, "hall")
                hall = Kitchen(receiver.port, hall_folder)
                receiver.wait("home-offered", device="hall")
                add_device(hands, data, "hall", HOME_PORT + 1)
                receiver.wait("home-connected", device="hall")
                try_two_devices(hands, checks, receiver, kitchen, hall)
                hall.close()
                receiver.wait("disconnected", device="hall")
                mute(hands, checks, kitchen)
                take_picture(hands, checks)
                kitchen.close()
                gone = "binary_sensor.earnest_kitchen_connection"
                is_shown = wait_for(lambda: hands("states")[gone] == "off")
                checks.see("a device that is gone is shown so", "", is_shown)
                try_firmware(hands, checks, receiver, folder)
    finally:
        hands.close()
        home.terminate()
        home.wait(30)
    print(f"failed: {checks.failures}")
    return 1 if checks.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HostToolError as error:
        error.show()
        sys.exit(error.exit_code)
