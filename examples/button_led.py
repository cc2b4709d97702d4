"""While a button is held, the wake word lights an LED, on an ESP32-S3.

The microphone has a clock only while somebody holds the button, so nothing else can listen.
"""

from time import sleep_ms

from machine import I2S, Pin
from wakeword.engine import Engine
from wakeword.feed import Feed
from wakeword.model import read

button = Pin(0, Pin.IN, Pin.PULL_UP)  # to ground: 0 is pressed
led = Pin(2, Pin.OUT, value=0)
feed = Feed(Engine([read("/lib/okay_nabu.ewm")]), bits=32, channels=2)
raw = bytearray(2560)

while True:
    while button.value():
        sleep_ms(10)
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
    feed.reset()
    while not button.value():
        if feed.process(raw, mic.readinto(raw)) >= 0:
            led.value(1)
    mic.deinit()
    led.value(0)
