"""Contacts bounce: a button's presses and a mute switch's position out of raw levels.

Place in the pipeline: `controls` reads the pins and asks here.  Pure: the time, in
device milliseconds, is passed in.
"""

PRESS_MS = 30
HOLD_MS = 800
OPEN_MS = 50


class ButtonDebounce:
    """One event per press, once the contact was closed for PRESS_MS, however long it is held.

    A button that is down when the device starts counts only once it has been let go: a stuck
    button, or one held for the boot loader, is not a press.

    `was_closed` is set from outside when the contact closed, by an interrupt; it tells of taps and
    of presses that were over before anybody looked.
    """

    def __init__(self):
        self.was_closed = False
        self._is_down = True
        self._level = True
        self._since_ms = 0
        self._was_down = True
        self._is_missed = False
        self._closed_ms = 0

    def update(self, is_closed, now_ms):
        """Take the level read now; return True at the moment a press is certain."""
        if is_closed != self._level:
            self._level = is_closed
            self._since_ms = now_ms
        if is_closed == self._is_down or now_ms - self._since_ms < PRESS_MS:
            return False
        self._is_down = is_closed
        return is_closed

    def is_at_rest(self):
        """Whether `update` with an open contact, and `was_missed`, would change nothing."""
        is_busy = self._level or self._is_down or self.was_closed
        return not (is_busy or self._was_down or self._is_missed)

    def is_held(self, now_ms):
        """Whether it has been down for HOLD_MS, as of the last `update`."""
        return self._is_down and self._level and now_ms - self._since_ms >= HOLD_MS

    def was_missed(self, now_ms):
        """After each `update`: True once for a contact that closed and was never a press.

        Too short, or over before anybody looked; certain once it was open for PRESS_MS.  A button
        that was down before bounces when it is let go, and that is not a press.
        """
        if self.was_closed and not self._was_down:
            self._is_missed = True
            self._closed_ms = now_ms
        self.was_closed = self._level and not self._is_down  # one that is not yet certain goes on
        self._was_down = self._is_down
        if self._is_down:  # it was still down when somebody looked, and counted
            self._is_missed = False
        if not self._is_missed or self._level or now_ms - self._closed_ms < PRESS_MS:
            return False
        self._is_missed = False
        return True


class SwitchDebounce:
    """A mute switch: muted at once, open only after OPEN_MS without a flicker; muted at start.

    `was_moved` is True once it has opened after OPEN_MS on mute without a flicker, seen since the
    start: a person moved it.  Neither a start with an open switch nor a bounce is that.
    """

    def __init__(self):
        self.is_muted = True
        self.was_moved = False
        self._was_held = False
        self._muted_since_ms = None
        self._open_since_ms = None

    def is_settled(self):
        """Whether `update` with an open switch would change nothing."""
        return not self.is_muted

    def update(self, reads_muted, now_ms):
        """Take the position read now; return the position that counts."""
        if reads_muted:
            self.is_muted = True
            self._open_since_ms = None
            if self._muted_since_ms is None:
                self._muted_since_ms = now_ms
            elif now_ms - self._muted_since_ms >= OPEN_MS:
                self._was_held = True
            return True
        self._muted_since_ms = None
        if self._open_since_ms is None:
            self._open_since_ms = now_ms
        elif now_ms - self._open_since_ms >= OPEN_MS:
            self.is_muted = False
            self.was_moved = self.was_moved or self._was_held
            self._was_held = False
        return self.is_muted
