"""Listens beside other tasks, with asyncio, on an ESP32-S3."""

import asyncio
import select

from machine import I2S, Pin
from wakeword.engine import Engine
from wakeword.feed import Feed
from wakeword.model import read


async def listen(heard: asyncio.Event):
    """Set `heard` at each wake word; the wait is as short as a task's turn may be long."""
    feed = Feed(Engine([read("/lib/okay_nabu.ewm")]), bits=32, channels=2)
    mic = I2S(
        0,
        sck=Pin(4),
        ws=Pin(5),
        sd=Pin(6),
        mode=I2S.RX,
        bits=32,
        format=I2S.STEREO,
        rate=16000,
        ibuf=32768,
    )
    poller = select.poll()
    poller.register(mic, select.POLLIN)
    poller.poll(0)  # from now on readinto does not wait: it takes what is there
    raw = bytearray(5120)
    while True:
        size = mic.readinto(raw)
        if size and feed.process(raw, size) >= 0:
            heard.set()
        await asyncio.sleep_ms(10)


async def answer(heard: asyncio.Event):
    """Stand for what the program does at a wake word."""
    while True:
        await heard.wait()
        heard.clear()
        print("yes?")


async def main():
    heard = asyncio.Event()
    await asyncio.gather(listen(heard), answer(heard))


asyncio.run(main())
