"""`network`, as far as the drivers use it: one access point that can be near, away, or refuse."""

import machine

STA_IF, AP_IF = 0, 1
STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
STAT_WRONG_PASSWORD, STAT_NO_AP_FOUND = 202, 201


class Air:
    """What is around: the name and password of the access point, or none."""

    def __init__(self):
        self.ssid, self.password = "home", "secret"
        self.is_near = True
        self.radio_fails = False
        self.broken = set()  # methods of WLAN that fail as the port does
        self.interfaces = {}
        self.connects = 0


air = Air()


def reset():
    """A new chip, in reach of `home`."""
    air.__init__()


def _may_break(name):
    if name in air.broken:
        raise RuntimeError("Wifi Unknown Error 0x3001")


class WLAN:
    def __new__(cls, interface=STA_IF):
        wlan = air.interfaces.get(interface)
        if wlan is None:
            wlan = object.__new__(cls)
            wlan.interface, wlan.is_active, wlan.state = interface, False, STAT_IDLE
            wlan.reconnects = -1
            air.interfaces[interface] = wlan
        return wlan

    def __init__(self, interface=STA_IF):
        _may_break("WLAN")

    def active(self, is_active=None):
        _may_break("active")
        if is_active is None:
            return self.is_active
        self.is_active = is_active

    def config(self, name=None, **settings):
        _may_break("config")
        if name == "mac":
            return machine.UNIQUE_ID
        for name, value in settings.items():
            if name != "reconnects":
                raise ValueError("unknown config param")
            self.reconnects = value

    def connect(self, ssid, password):
        _may_break("connect")
        if air.radio_fails or not self.is_active:
            raise OSError("Wifi Internal Error")
        air.connects += 1
        if not air.is_near or ssid != air.ssid:
            self.state = STAT_NO_AP_FOUND
        elif password != air.password:
            self.state = STAT_WRONG_PASSWORD
        else:
            self.state = STAT_GOT_IP

    def ifconfig(self):
        _may_break("ifconfig")
        return ("192.168.1.31", "255.255.255.0", "192.168.1.1", "192.168.1.1")

    def disconnect(self):
        _may_break("disconnect")
        self.state = STAT_IDLE

    def isconnected(self):
        _may_break("isconnected")
        if self.state == STAT_GOT_IP and not air.is_near:
            self.state = STAT_NO_AP_FOUND
        return self.state == STAT_GOT_IP

    def status(self):
        _may_break("status")
        return self.state
