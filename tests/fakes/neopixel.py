"""`neopixel`, as far as the drivers use it: what was written stays with the wire."""


class NeoPixel:
    wires = {}  # pin number: colours that the LEDs show

    def __init__(self, pin, n, bpp=3, timing=1):
        self.pin, self.n = pin, n
        self._colours = [(0, 0, 0)] * n

    def fill(self, colour):
        for i in range(self.n):
            self[i] = colour

    def __setitem__(self, i, colour):
        for value in colour:
            if not 0 <= value <= 255:
                raise ValueError("bytes value out of range")
        self._colours[i] = tuple(colour)

    def write(self):
        if self.pin.mode != self.pin.OUT:
            raise OSError("the pin is no output")
        NeoPixel.wires[self.pin.number] = list(self._colours)
