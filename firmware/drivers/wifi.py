"""Wi-Fi as a client: connect, and connect again, with waits that grow and are never in step.

Place in the pipeline: below the streamer, which only sees whether there is a network.  Opens no
port, makes no access point and starts no WebREPL.  Imports network; must not import wakeword or
satellite.
"""

import asyncio
import os

import network

from .backoff import BackOff

CONNECT_MS = 20000
_STEP_MS = 250
_WATCH_MS = 1000


class Wifi:
    """Keeps a station connected while `run` runs; `attempts` is for diagnostics."""

    def __init__(self, ssid, password, back_off=None):
        self._ssid = ssid
        self._password = password
        self._back_off = back_off or BackOff()
        self.attempts = 0
        network.WLAN(network.AP_IF).active(False)
        self._station = network.WLAN(network.STA_IF)

    def is_connected(self):
        """Whether there is a network with an address."""
        return self._station.isconnected()

    def name_server(self):
        """The address of the network's DNS server, in digits."""
        return self._station.ifconfig()[3]

    def status(self):
        """connected, connecting, wrong password, no access point, or off."""
        if not self._station.active():
            return "off"
        if self._station.isconnected():
            return "connected"
        state = self._station.status()
        if state == network.STAT_WRONG_PASSWORD:
            return "wrong password"
        if state == network.STAT_NO_AP_FOUND:
            return "no access point"
        return "connecting"

    async def connect(self):
        """One attempt of up to CONNECT_MS; True when connected."""
        station = self._station
        self.attempts += 1
        try:
            station.active(True)
            station.config(reconnects=0)  # the waiting between attempts is ours
            station.disconnect()
            station.connect(self._ssid, self._password)
            for _ in range(CONNECT_MS // _STEP_MS):
                if station.isconnected():
                    return True
                await asyncio.sleep_ms(_STEP_MS)
        except OSError:
            pass  # the radio is busy or gave up: the next attempt decides
        return station.isconnected()

    async def run(self):
        """Connect, watch, connect again; until cancelled."""
        while True:
            if await self.connect():
                self._back_off.reset()
                while self._station.isconnected():
                    await asyncio.sleep_ms(_WATCH_MS)
            await asyncio.sleep_ms(self._back_off.wait_ms(os.urandom(1)[0]))
