"""The simulated serial line: what the scenario types arrives, what the device says is emitted.

Runs inside MicroPython, in place of diagnostics.console.Line.  A byte that the device says takes
BYTE_US, and for that time the audio waits in the ring of simulated_world.Microphone.
"""

#: A byte at 115,200 baud without any buffer, and the making of it.
BYTE_US = 120
#: How long MicroPython waits for a host that has the port open and does not read.
STALL_US = 500000


class Cable:
    """Its host reads, has stopped, or has stalled: then it looks as if there were room."""

    def __init__(self, world):
        self._world = world
        self._line = ""

    def read(self):
        typed = self._world.typed
        if not typed:
            return None
        self._world.typed = typed[1:]
        return typed[:1]

    def has_room(self):
        return self._world.cable_host != "stopped"

    def write(self, text):
        world = self._world
        if world.cable_host != "reads":
            world.hold_up(STALL_US)
            return
        world.hold_up(BYTE_US * len(text))
        self._line += text
        while "\n" in self._line:
            line, self._line = self._line.split("\n", 1)
            world.emit("cable", line=line, late_ms=world.late_us // 1000)
