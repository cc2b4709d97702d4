"""Wi-Fi as a client: connect, and connect again, with waits that grow and are never in step.

Place in the pipeline: below the streamer, which only sees whether there is a network.  Opens no
port, makes no access point and starts no WebREPL.
"""

import asyncio
import os

import network

from .backoff import BackOff

CONNECT_MS = 20000
#: How many connections in a row may carry nothing before Wi-Fi is connected again; doubled every
#: time, up to MAX_RENEW_TRIES.
RENEW_TRIES = 4
MAX_RENEW_TRIES = 64
_STEP_MS = 250
_WATCH_MS = 1000
#: What the port raises: OSError for errors that it knows, RuntimeError for others.
_ERRORS = (OSError, RuntimeError)


class Wifi:
    """Keeps a station connected while `run` runs; any error of the radio is a failed attempt.

    `attempts` and `renewals` count since the start.
    """

    def __init__(self, ssid, password, back_off=None):
        self._ssid = ssid
        self._password = password
        self._back_off = back_off or BackOff()
        self._station = None
        self._tries = 0
        self._max_tries = RENEW_TRIES
        self.attempts = 0
        self.renewals = 0

    def is_connected(self):
        """Whether there is a network with an address."""
        try:
            return self._station is not None and self._station.isconnected()
        except _ERRORS:
            return False

    def name_server(self):
        """The address of the network's DNS server, in digits.  Raises OSError."""
        if self._station is None:
            raise OSError("Wi-Fi is off")
        try:
            return self._station.ifconfig()[3]
        except RuntimeError as error:
            raise OSError(str(error))

    def status(self):
        """connected, connecting, wrong password, no access point, or off."""
        try:
            if self._station is None or not self._station.active():
                return "off"
            if self._station.isconnected():
                return "connected"
            state = self._station.status()
        except _ERRORS:
            return "off"
        if state == network.STAT_WRONG_PASSWORD:
            return "wrong password"
        if state == network.STAT_NO_AP_FOUND:
            return "no access point"
        return "connecting"

    async def connect(self):
        """One attempt of up to CONNECT_MS; True when connected."""
        self.attempts += 1
        try:
            if self._station is None:
                network.WLAN(network.AP_IF).active(False)
                self._station = network.WLAN(network.STA_IF)
            station = self._station
            station.active(True)
            station.config(reconnects=0)  # the waiting between attempts is ours
            station.disconnect()
            station.connect(self._ssid, self._password)
            for _ in range(CONNECT_MS // _STEP_MS):
                if station.isconnected():
                    return True
                await asyncio.sleep_ms(_STEP_MS)
        except _ERRORS:
            pass  # the radio is busy or gave up: the next attempt decides
        return self.is_connected()

    async def run(self):
        """Connect, watch, connect again; until cancelled."""
        while True:
            if await self.connect():
                self._back_off.reset()
                while self.is_connected():
                    await asyncio.sleep_ms(_WATCH_MS)
            await asyncio.sleep_ms(self._back_off.wait_ms(os.urandom(1)[0]))

    # --- a network that says "connected" and carries nothing ---

    def may_try(self):
        """Ask before every connection; False when Wi-Fi was disconnected, to connect again."""
        if self._tries < self._max_tries:
            self._tries += 1
            return True
        self._tries = 0
        self._max_tries = min(2 * self._max_tries, MAX_RENEW_TRIES)
        self.renewals += 1
        try:
            if self._station is not None:
                self._station.disconnect()
        except _ERRORS:
            pass  # `run` finds out
        return False

    def carried(self):
        """The other end was heard."""
        self._tries = 0
        self._max_tries = RENEW_TRIES
