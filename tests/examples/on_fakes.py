"""Runs in MicroPython: an example, unchanged, on the stand-ins for the chip's modules.

    micropython on_fakes.py EXAMPLE MODELS SPEECH.pcm [FIRST LAST]

MODELS is the folder that is /lib on the board.  The microphone's left slot plays the speech, the
right one noise, and its end ends the example.  FIRST, LAST: the samples at which a button on pin 0
is pressed and released; without them it never is.  Prints what the example prints, then what
happened to the pins and the clock, a line each.
"""

import asyncio
import sys
from array import array

import machine
import vfs

world = machine.world


class SpeechIsOver(BaseException):
    """Passes what an example might catch."""


class Button:
    """On pin 0: pressed between two samples, once; looked at often after that, it is over."""

    def __init__(self, first, last):
        self.first, self.last = first, last
        self.looks = 0

    def level(self):
        if world.played >= self.last:
            self.looks += 1
            if self.looks > 3:
                raise SpeechIsOver
        return 0 if self.first <= world.played < self.last else 1


def plays(path):
    """What the microphone hears of sample n."""
    with open(path, "rb") as file:
        samples = array("h", file.read())
    world.played = 0

    def sound(n):
        if n >= len(samples):
            raise SpeechIsOver
        world.played = n
        return samples[n] << 14, n * 40503 << 12

    return sound


async def sleep_ms(ms):
    """Let the world's time pass."""
    world.sleep_ms(ms)
    await real_sleep_ms(0)


def main(example, models, speech, *press):
    global real_sleep_ms
    vfs.mount(vfs.VfsPosix(models), "/lib")
    world.sound = plays(speech)
    world.reads_may_wait = True
    if press:
        world.nets[0] = Button(int(press[0]), int(press[1]))
    real_sleep_ms, asyncio.sleep_ms = asyncio.sleep_ms, sleep_ms
    try:
        with open(example) as file:
            exec(compile(file.read(), example, "exec"), {"__name__": "__main__"})
    except SpeechIsOver:
        pass
    for event in world.events:
        print("event:", event[0], event[1])
    print("lost:", sum([port.lost for port in world.ports if port]))


main(*sys.argv[1:])
