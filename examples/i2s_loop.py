"""Says when an I2S microphone hears the wake word, on an ESP32-S3: the whole program."""

from machine import I2S, Pin
from wakeword.engine import Engine
from wakeword.feed import Feed
from wakeword.model import read

feed = Feed(Engine([read("/lib/okay_nabu.ewm")]), bits=32, channels=2)  # channel=1 is the right
mic = I2S(
    0,
    sck=Pin(4),
    ws=Pin(5),
    sd=Pin(6),
    mode=I2S.RX,
    bits=32,
    format=I2S.STEREO,
    rate=16000,
    ibuf=32768,  # 256 ms: the longest that the loop may be held up
)
raw = bytearray(2560)  # 20 ms

while True:
    size = mic.readinto(raw)  # waits until it is full
    if feed.process(raw, size) >= 0:
        print("yes?")
