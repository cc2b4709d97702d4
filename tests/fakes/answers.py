"""For tests of the answers: a clock that a test moves."""

import datetime
import zoneinfo

#: A Saturday, ten past nine in the evening in Berlin.
NOW = datetime.datetime(2026, 11, 28, 20, 10, 7, tzinfo=datetime.timezone.utc)


class FakeClock:
    """`pass_s` moves both times, `jump_s` the wall clock alone."""

    def __init__(self, start=NOW, zone="Europe/Berlin"):
        self._wall_s = start.timestamp()
        self._passed_s = 1000.0
        self.zone = zoneinfo.ZoneInfo(zone)

    def now(self):
        return datetime.datetime.fromtimestamp(self._wall_s, self.zone)

    def wall_s(self):
        return self._wall_s

    def passed_s(self):
        return self._passed_s

    def pass_s(self, seconds):
        self._wall_s += seconds
        self._passed_s += seconds

    def jump_s(self, seconds):
        self._wall_s += seconds

    def restart(self):
        """Another process, or another boot: what has passed begins anew."""
        self._passed_s = 5.0
        return self
