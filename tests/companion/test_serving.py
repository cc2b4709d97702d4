"""The page beside a real receiver: loopback only, nothing loaded before somebody looks, and a
device's press on the page within a second."""

import asyncio
import http.client
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing

import pytest

from host_tools.companion import page as pages
from host_tools.companion.access import Access
from host_tools.companion.devices_now import DevicesNow
from host_tools.companion.page import listen
from host_tools.companion.tickets import Tickets
from host_tools.errors import HostToolError
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.statuses import Statuses
from tests.fakes.receivers import Device, earnest, new_device, receiving
from tests.fakes.satellites import FakeHost


def get(address, cookie=""):
    """(status, headers, text) of a page."""
    request = urllib.request.Request(address, headers={"Cookie": cookie})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status, answer.headers, answer.read().decode()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "", "127.0.0.2"])
def test_without_a_set_up_no_address_that_others_reach_is_taken(data, host):
    with pytest.raises(HostToolError, match="of this computer alone"):
        listen(host, 0)
    done = earnest(data, "receive", "--page-host", host, "--port", "0")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 2
    is_address = host not in ("example.org", "")
    assert ("`earnest companion --setup" in done.stderr) == is_address


@pytest.mark.parametrize(
    "option", ["--page-host 127.0.0.1", "--page-port 0", "--page-name a.test"]
)
def test_no_page_goes_with_nothing_that_a_page_needs(data, option):
    done = earnest(data, "receive", "--no-page", *option.split(), "--port", "0")
    assert done.returncode == 2 and f"{option.split()[0]}\n" in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_a_port_that_is_taken_is_another_one_or_an_error_if_it_was_asked_for():
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(HostToolError, match=f"port {port}: .*in use"):
            listen("127.0.0.1", port)
        default, pages.DEFAULT_PORT = pages.DEFAULT_PORT, port
        try:
            with closing(listen("127.0.0.1", None)) as other:
                assert other.getsockname()[1] not in (port, 0)
        finally:
            pages.DEFAULT_PORT = default


def test_only_a_terminal_gets_a_link_and_only_there_a_browser_opens(data, monkeypatch):
    went = []

    class Browser:
        open = went.append

    monkeypatch.setattr(pages.webbrowser, "get", Browser)
    told = []
    for is_shown, is_opened in ((False, False), (True, False), (True, True)):

        async def begin(is_shown=is_shown, is_opened=is_opened):
            book = Tickets(data)
            now = DevicesNow(DeviceList(data / "devices.json"), Statuses(data))
            how = {"is_shown": is_shown, "is_opened": is_opened}
            access = Access(data)
            page = pages.Page(listen("127.0.0.1", 0), book, now, None, access, **how)
            host = FakeHost()
            page.begin(host)
            await asyncio.sleep(0.1)
            told.append((page.address, *host.events("page")))
            for task in host.tasks:
                task.cancel()
            await asyncio.gather(*host.tasks, return_exceptions=True)

        asyncio.run(begin())
    (plain, first), (_, second), (_, third) = told
    assert first == {"address": plain}
    assert "/enter?ticket=" in second["address"] and "/enter?ticket=" in third["address"]
    assert [address.partition(":")[0] for address in went] == ["file"] and "ticket" not in went[0]


def test_a_browser_of_the_terminal_is_not_opened(data, monkeypatch):
    book = Tickets(data)
    book.announce("http://127.0.0.1:10781")
    monkeypatch.setattr(pages.webbrowser, "get", lambda: pages.webbrowser.GenericBrowser("false"))
    monkeypatch.setattr(pages.webbrowser.GenericBrowser, "open", lambda *_: 1 / 0)
    pages.open_browser(book)
    assert not (data / "page" / "open.html").exists()


def test_the_framework_is_loaded_by_nobody_before_the_first_look():
    script = "import sys, host_tools.commands.receive, host_tools.commands.companion; "
    script += "print({'aiohttp', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "set()\n", done


def test_the_page_of_a_real_receiver(data):
    folder = new_device(data, "kitchen")
    with receiving(data, "--page-port", 0, "--page-host", "127.0.0.1") as receiver:
        address = receiver.wait("page")["address"]
        told = [each["message"] for each in receiver.events if each["event"] == "warning"]
        assert any("--page-host 127.0.0.1 is this computer alone" in each for each in told), told
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address), "a log gets no ticket"
        done = earnest(data, "companion", "--no-browser")
        link = done.stdout.strip()
        assert done.returncode == 0 and link.startswith(address + "/enter?ticket=")
        status, headers, _ = get(link)
        assert status == 200
        cookie = headers["Set-Cookie"].partition(";")[0]
        assert "not connected" in get(address, cookie)[2]
        with Device(receiver.port, folder) as device:
            device.tell_status()
            receiver.wait("status")
            assert "green, breathing" in get(address, cookie)[2]
            live = http.client.HTTPConnection(address.partition("//")[2], timeout=10)
            live.request("GET", "/live", headers={"Cookie": cookie})
            events = live.getresponse()
            while b"green" not in (line := events.readline()):
                assert line
            device.tell_status(muted=True, listening=False)
            pressed_s = time.monotonic()
            while b"red, steady" not in events.readline():
                pass
            assert time.monotonic() - pressed_s < 1.0
            device.tell_status()
            receiver.wait("status", muted=False)
            text = get(address, cookie)[2]
            csrf = re.search('name="csrf" value="([^"]+)"', text)[1]
            form = urllib.request.Request(
                address + re.search('action="(/devices/[^/]+/mute)"', text)[1],
                data=f"csrf={csrf}".encode(),
                headers={"Cookie": cookie, "Origin": address},
            )
            assert urllib.request.urlopen(form, timeout=10).status == 200
            device.expect("mute")
            stopped_s = time.monotonic()
            status, text = receiver.end(signal.SIGTERM)
            assert status == 0 and text == "" and time.monotonic() - stopped_s < 2.0
            live.close()
    done = earnest(data, "companion", "--no-browser")
    assert done.returncode == 2 and "no receiver serves its page" in done.stderr
