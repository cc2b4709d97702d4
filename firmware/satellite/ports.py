"""What a device hands in: the methods and attributes that the satellite needs of its drivers.

Place: nobody imports it, so it costs the board no memory.  main.build takes a `Hardware`;
firmware/drivers has the real ones, host_tools/on_micropython/simulated_world.py those of the
simulation.  A test holds both, name by name and argument by argument, against this file.

Times are milliseconds of device time unless the name says otherwise.  What may fail raises
OSError, and nothing else.  "awaitable" methods are called as `await x.method(...)`.
"""


class Hardware:
    """All of it; what `main.build` takes as `drivers`."""

    mic = "Microphone"
    speaker = "Speaker, or None on a board without one: it then refuses to make any sound"
    light = "LightDriver"
    controls = "Controls"
    clock = "Clock"
    watchdog = "Watchdog"
    storage = "Storage"
    wifi = "Wifi, or None where no network is configured"
    reset = "why the device started, a word of audit_record.RESETS"

    def connect(self):
        """Awaitable: (reader, writer) of a new connection to the receiver.

        Raises OSError when it cannot be reached, ValueError when its certificate names another.
        """

    def random_number(self):
        """0 to 2**62 - 1 from a true random source, new at each call: names a stream."""


class Microphone:
    """Off when it is made; off again after `stop`, read back by `is_on`."""

    overruns = "how often samples were lost since it was made"
    changes = "a number that grows whenever `health` or `overruns` may say something new"

    def start(self):
        """Switch it on.  Raises OSError, with everything off again."""

    def stop(self):
        """Switch it off; raises nothing.  `is_on` says whether that worked."""

    def is_on(self):
        """Whether it listens, read back from the hardware."""

    def try_read(self, chunk):
        """The next 10 ms into `chunk`, 160 int16, little-endian, when they are there at once.

        Return True when they were, False when `read` has to wait for them; allocates nothing.
        Raises OSError when the microphone is off or delivers nothing.
        """

    def read(self, chunk):
        """Awaitable: as `try_read`, but waits until they are there."""

    def extremes(self):
        """(lowest, highest, how many clamped) of the last chunk, before DC removal."""

    def health(self):
        """0 when it is well, else a number of microphone_health.HEALTH_NAMES."""


class Speaker:
    """Off when it is made and silent at boot; `satellite.speech` decides what it plays."""

    late = "how often it ran out of samples while it was on, since it was made"
    buffer_ms = "what it holds at most: once this much more was written, all before it was heard"

    def start(self):
        """Switch it on, the amplifier last.  Raises OSError, with everything off again."""

    def stop(self):
        """Switch it off at once, the amplifier first; what it holds is never heard.

        Raises nothing.  `is_on` says whether that worked.
        """

    def is_on(self):
        """Whether the amplifier or its clock is on, read back from the hardware."""

    def write(self, chunk):
        """Take 10 ms, 160 int16, little-endian, without waiting; allocates nothing.

        Return True when all 320 bytes were taken, False when there is no room for them yet.
        Raises OSError when it is off or cannot play.
        """


class LightDriver:
    """One colour on one light; what it shows is decided in light.Light."""

    has_colour = "False for a single LED, which shows the brightest of the three"

    def show(self, r, g, b):
        """Show a colour, 0..255 each.  Raises OSError when it cannot be driven."""

    def is_ok(self):
        """Whether it shows what it was told, read back as far as the hardware allows."""


class Controls:
    """What a person does at the device."""

    has_button = "whether there is a button; without one the switch alone mutes and unmutes"

    def are_still(self):
        """True only when the switch is open and none of the others has anything to tell."""

    def was_pressed(self):
        """True once for every press, however long it is held."""

    def is_held(self):
        """Whether the button has been down for 0.8 s or longer."""

    def press_was_missed(self):
        """True once for a press that was over before `was_pressed` saw it: it may only mute."""

    def switch_muted(self):
        """Whether the mute switch stands on mute; None where there is none."""

    def switch_was_moved(self):
        """True once for every time that a person moved the switch off mute."""


class Clock:
    """Device time."""

    def now_ms(self):
        """Milliseconds since the start; always growing."""

    def ticks_us(self):
        """Microseconds, for the length of short things; wraps at 2**30."""

    def sleep_ms(self, ms):
        """Awaitable: let `ms` pass."""


class Watchdog:
    """Resets a device whose audio loop stands still."""

    def feed(self):
        """The audio loop has made a turn."""


class Storage:
    """Files by plain names that survive power loss; every method may raise OSError."""

    def read(self, name, limit):
        """The first `limit` bytes; None when there is no such file."""

    def size(self, name):
        """Bytes; -1 when there is no such file."""

    def write_atomic(self, name, data):
        """Replace the file: after a power loss it holds the old bytes or the new ones."""

    def append(self, name, data):
        """Write at the end: after a power loss any part of `data` may be there."""

    def rename(self, old, new):
        """Give a file another name, in place of what had that name, at once."""

    def remove(self, name):
        """Remove the file, if there is one."""

    def free_bytes(self):
        """What the file system has left."""


class Wifi:
    """For the log and `earnest status`; the way to the receiver is Hardware.connect."""

    attempts = "how often it tried to join since the start"
    renewals = "how often it said connected, carried nothing, and was connected again"

    def status(self):
        """off, connecting, connected, wrong password, or no access point."""
