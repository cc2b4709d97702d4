"""Listens for two wake words at once, each with a sensitivity of its own, on an ESP32-S3."""

from machine import I2S, Pin
from wakeword.engine import Engine
from wakeword.feed import Feed
from wakeword.model import read

models = [read("/lib/okay_nabu.ewm"), read("/lib/alexa.ewm")]
# (cutoff of 0..255, window): None stands for what is in the model's file.
engine = Engine(models, settings=[None, (242, None)])  # alexa at 0.95 instead of 0.90
feed = Feed(engine, bits=32, channels=2)
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
raw = bytearray(2560)

while True:
    heard = feed.process(raw, mic.readinto(raw))
    if heard >= 0:
        percent = 100 * engine.detectors[heard].mean // 255
        print(f"{models[heard].header.wake_word}, {percent} %")
