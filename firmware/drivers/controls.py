"""The button and the mute switch: what a person does at the device.

Place in the pipeline: the app asks once per turn, some ten milliseconds apart.  When it cannot ask
for longer - a TLS handshake, a write to the flash - an interrupt remembers that the button was
pressed.  `debounce` judges the contacts.
"""

import time

import micropython
from machine import Pin

from .clock import Clock
from .debounce import ButtonDebounce, SwitchDebounce


class Controls:
    """button, switch: pin numbers or None.  The levels say when pressed, and when on mute.

    The button's pin is pulled to the level of *not pressed*, the switch's to that of *muted*: a
    wire that comes off mutes.
    """

    def __init__(
        self, button=None, pressed=0, switch=None, muted=1, now_ms=None, ticks_ms=time.ticks_ms
    ):
        self._now_ms = now_ms or Clock(ticks_ms).now_ms
        self._pressed = pressed
        self._muted = muted
        self._button = None
        if button is not None:
            self._button = Pin(button, Pin.IN, Pin.PULL_DOWN if pressed else Pin.PULL_UP)
            self._button_debounce = ButtonDebounce()
            edge = Pin.IRQ_RISING if pressed else Pin.IRQ_FALLING
            self._button.irq(self._closed, edge)
        self._rests = False  # the debounced button: no interrupt and no look since it was found so
        self._switch = None
        if switch is not None:
            self._switch = Pin(switch, Pin.IN, Pin.PULL_UP if muted else Pin.PULL_DOWN)
            self._switch_debounce = SwitchDebounce()

    @property
    def has_button(self):
        """Whether there is a button; without one the switch alone mutes and unmutes."""
        return self._button is not None

    @micropython.native
    def are_still(self):
        """True when all else here has nothing to tell: button up, switch open, both for long."""
        button = self._button
        if button is not None and (
            button.value() == self._pressed or not (self._rests or self._is_at_rest())
        ):
            return False
        switch = self._switch
        if switch is None:
            return True
        return switch.value() != self._muted and not self._switch_debounce.is_muted

    def _is_at_rest(self):
        """Whether the button's contact is; an interrupt meanwhile is not overlooked."""
        self._rests = True
        if not self._button_debounce.is_at_rest():
            self._rests = False
        return self._rests

    def was_pressed(self):
        """True once for every press, however long it is held."""
        if self._button is None:
            return False
        self._rests = False
        is_closed = self._button.value() == self._pressed
        return self._button_debounce.update(is_closed, self._now_ms())

    def is_held(self):
        """Whether the button has been down for 0.8 s or longer, as `was_pressed` last saw it."""
        return self._button is not None and self._button_debounce.is_held(self._now_ms())

    def press_was_missed(self):
        """True once for a tap, or a press that `was_pressed` missed; ask every turn.

        It may have been noise on the wire, so it may mute and must not unmute.
        """
        self._rests = False
        return self._button is not None and self._button_debounce.was_missed(self._now_ms())

    def _closed(self, pin):
        """The interrupt, between two bytecodes of the program: allocates nothing."""
        self._button_debounce.was_closed = True
        self._rests = False

    def switch_muted(self):
        """Whether the switch stands on mute; None when the board has none."""
        if self._switch is None:
            return None
        reads_muted = self._switch.value() == self._muted
        return self._switch_debounce.update(reads_muted, self._now_ms())

    def switch_was_moved(self):
        """True once for every time that a person moved the switch off mute."""
        if self._switch is None:
            return False
        was_moved = self._switch_debounce.was_moved
        self._switch_debounce.was_moved = False
        return was_moved
