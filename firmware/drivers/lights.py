"""Lights: addressable (NeoPixel, APA102), three PWM pins, one PWM pin.

Place in the pipeline: below satellite's Light, which decides what to show.  Each is
a ports.LightDriver.

An addressable light has no way back: that its chip lives is not known, only that its pin does.
"""

import time

from machine import PWM, Pin
from micropython import const
from neopixel import NeoPixel

_PWM_HZ = const(10000)
_DUTY_MAX = const(65535)
#: PWM duty is rounded by the chip; what reads back may differ by this much.
_DUTY_SLACK = const(512)
#: A new duty reads back only from the next period on (100 us); so often it is looked at.
_LOOKS = const(8)
_LOOK_US = const(50)


class NeoPixelLight:
    """The same colour on `count` pixels of each of `pins`.

    Several pins for boards whose revisions differ: all are driven, one has the light.  Every show
    writes all pixels, so one that Wi-Fi disturbed is right again the next time.
    """

    has_colour = True

    def __init__(self, pins, count=1):
        self._pins = tuple(Pin(number, Pin.OUT, value=0) for number in pins)
        self._strips = tuple(NeoPixel(pin, count) for pin in self._pins)
        self._rgb = [0, 0, 0]

    def show(self, r, g, b):
        """Write the colour to every pixel."""
        rgb = self._rgb
        rgb[0] = r
        rgb[1] = g
        rgb[2] = b
        self._paint()

    def is_ok(self):
        """Between two writes the data line must be low; one that is shorted high is not."""
        for pin in self._pins:
            if pin.value():
                return False
        return True

    def _paint(self):
        for strip in self._strips:
            strip.fill(self._rgb)
            strip.write()


class APA102Light:
    """`count` APA102 LEDs on a data and a clock pin, clocked by hand: they know no timing."""

    has_colour = True

    def __init__(self, pins, count=1):
        data, clock = pins
        self._data = Pin(data, Pin.OUT, value=0)
        self._clock = Pin(clock, Pin.OUT, value=0)
        self._count = count
        self._follows = True

    def show(self, r, g, b):
        """Write the colour to every LED; each bit is read back on both pins."""
        self._follows = True
        self._send(0, 32)
        for _ in range(self._count):
            self._send(0xFF, 8)
            self._send(b, 8)
            self._send(g, 8)
            self._send(r, 8)
        self._send(0, 32)
        if not self._follows:
            raise OSError("the light's pins do not follow")

    def is_ok(self):
        """The pins followed every bit of the last show."""
        return self._follows

    def _send(self, value, bits):
        data, clock = self._data, self._clock
        for i in range(bits - 1, -1, -1):
            level = value >> i & 1
            data.value(level)
            clock.value(1)
            if data.value() != level or not clock.value():
                self._follows = False
            clock.value(0)
            if clock.value():
                self._follows = False


class PWMLight:
    """A single LED (one pin) or an RGB LED (three), lit at level `on`; duty is read back."""

    def __init__(self, pins, on=1):
        self._on = on
        self.has_colour = len(pins) == 3
        self._wanted = [0] * len(pins)
        self._pwms = [PWM(Pin(n), freq=_PWM_HZ, duty_u16=self._duty(0)) for n in pins]

    def show(self, r, g, b):
        """Set the duties; a single LED shows the brightest of the three."""
        wanted = self._wanted
        if self.has_colour:
            wanted[0], wanted[1], wanted[2] = r, g, b
        else:
            wanted[0] = max(r, g, b)
        self._set()

    def is_ok(self):
        """The duties read back are those that were set; waits up to 0.4 ms for a new one."""
        for _ in range(_LOOKS):
            if self._follows():
                return True
            time.sleep_us(_LOOK_US)
        return False

    def _set(self):
        for i in range(len(self._wanted)):
            self._pwms[i].duty_u16(self._duty(self._wanted[i]))

    def _follows(self):
        for i in range(len(self._wanted)):
            if abs(self._pwms[i].duty_u16() - self._duty(self._wanted[i])) > _DUTY_SLACK:
                return False
        return True

    def _duty(self, value):
        duty = value * 257
        return duty if self._on else _DUTY_MAX - duty


LIGHTS = {"neopixel": NeoPixelLight, "apa102": APA102Light, "pwm": PWMLight}
