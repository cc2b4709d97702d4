"""The microphone judged: level, offset, clipping, noise floor, and what to do about it.

Place: the console hands in what a listening application hears; `measure` starts the microphone
itself while the application is stopped, light first, and never while muted.  Keeps numbers, no
audio.
"""

import time

SECONDS = 2
#: Peak to peak of 10 ms, in the units of the shifted sample; not measured on a board yet: a
#: living microphone's noise is at least 1 and a quiet room's is far below LOUD_ROOM.
LOUD_ROOM = 4000
QUIET_SPEECH = 400
MAX_DC = 8000

ADVICE = {
    "OK": "nothing to do",
    "NO_CHUNKS": "no samples came: check the SCK and WS wires and their pins in board.py",
    "NO_DATA": "no samples came: check the SCK and WS wires and their pins in board.py",
    "ALL_ZERO": "dead: check 3V3, GND and the SD wire; L/R must be tied, not floating; or it is "
    "the other channel (INMP441: L/R to GND is left, to 3V3 is right)",
    "STUCK": "every sample is the same: SD is shorted or floats; check SD and its pin in board.py",
    "RAIL": "at the rail: check WS and SCK are not swapped; raise MIC_SHIFT in board.py",
    "WRONG_CHANNEL": "the other channel has the sound: move L/R (INMP441: GND is left, 3V3 is "
    "right) or change MIC_CHANNEL in board.py",
    "SHIFTED": "every sample lost a bit: SCK or WS is swapped, too long or loose; or the "
    "microphone's format is not I2S (Philips)",
    "CLIPPING": "loud sound is cut off: raise MIC_SHIFT by 1 or lower MIC_GAIN_Q4 in board.py",
    "NOISY": "the room or the wiring is noisy: shorten the wires, 100 nF at the microphone, keep "
    "away from the antenna; measure again in silence",
    "OFFSET": "a large DC offset: some microphones need a second to settle; if it stays, check "
    "GND and 3V3 at the microphone",
    "QUIET": "works, but nothing loud was heard: say something at arm's length and measure again; "
    "if it stays so, lower MIC_SHIFT by 1",
}


class Report:
    """Add chunks; `result` is a dict of numbers, a verdict and what to do."""

    def __init__(self):
        self.chunks = 0
        self.low = 1 << 20
        self.high = -(1 << 20)
        self.clipped = 0
        self.floor = 1 << 20
        self.peak = 0
        self._dc = 0

    def add(self, low, high, clamped, peak):
        """One chunk: its extremes before DC removal, samples clamped, and its level's peak."""
        self.chunks += 1
        self.low = min(self.low, low)
        self.high = max(self.high, high)
        self.clipped += clamped
        self.floor = min(self.floor, high - low)
        self.peak = max(self.peak, peak)
        self._dc += (low + high) // 2

    def result(self, health):
        """`health` is a name of microphone_health.HEALTH_NAMES."""
        dc = self._dc // self.chunks if self.chunks else 0
        verdict = health
        if not self.chunks and health == "OK":
            verdict = "NO_CHUNKS"
        elif health == "OK":
            if self.clipped > self.chunks:
                verdict = "CLIPPING"
            elif abs(dc) > MAX_DC:
                verdict = "OFFSET"
            elif self.floor > LOUD_ROOM:
                verdict = "NOISY"
            elif self.high - self.low < QUIET_SPEECH:
                verdict = "QUIET"
        return {
            "version": 1,
            "measured": True,
            "chunks": self.chunks,
            "peak": self.peak,
            "dc": dc,
            "clipped_samples": self.clipped,
            "noise_floor": self.floor if self.chunks else 0,
            "swing": self.high - self.low if self.chunks else 0,
            "health": health,
            "verdict": verdict,
            "ok": verdict in ("OK", "QUIET", "NOISY"),
            "advice": ADVICE[verdict],
        }


def refused(why):
    """The result of a measurement that must not be made."""
    return {"version": 1, "measured": False, "ok": False, "verdict": "REFUSED", "advice": why}


def is_muted(hardware):
    """Whether anything mutes: the switch, or the stored state; what is unknown does."""
    from satellite.mute_state import MuteState

    if MuteState(hardware.storage).load() is not False:
        return True
    is_on_mute = hardware.controls.switch_muted()
    for _ in range(30):  # an open switch is believed after 50 ms
        if is_on_mute is not True:
            break
        time.sleep_ms(5)
        is_on_mute = hardware.controls.switch_muted()
    return is_on_mute is True


def measure(hardware, seconds=SECONDS):
    """Listen for `seconds` while the application is stopped; a result."""
    from drivers.microphone_health import HEALTH_NAMES
    from satellite.gate import IDLE, MUTED
    from satellite.level import peak
    from satellite.light import Light

    if is_muted(hardware):
        return refused("the device is muted: unmute it with its button or switch, then try again")
    light = Light(hardware.light, 255, hardware.light.has_colour)
    if not light.update(IDLE, True, 0):
        return refused("the light cannot be driven, so the microphone stays off")
    mic = hardware.mic
    report = Report()
    chunk = bytearray(320)
    health = "NO_DATA"
    try:
        mic.start()
        began_ms = time.ticks_ms()
        while True:
            took_ms = time.ticks_diff(time.ticks_ms(), began_ms)
            if took_ms >= 1000 * seconds:
                break
            light.update(IDLE, True, took_ms)
            if hardware.controls.switch_muted() is True:
                return refused("the switch was put on mute")
            if mic.try_read(chunk):
                if took_ms > 500:  # after the microphone has settled
                    report.add(*mic.extremes(), peak(chunk))
            else:
                time.sleep_ms(4)
        health = HEALTH_NAMES[mic.health()]
    except OSError:
        health = HEALTH_NAMES[mic.health()]
        if health == "OK":
            health = "NO_DATA"
    finally:
        mic.stop()
        for i in range(len(chunk)):
            chunk[i] = 0
        light.update(MUTED, mic.is_on(), 0)
    return report.result(health)
