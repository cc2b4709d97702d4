"""For tests of the page: the real application in this process, and clients."""

import asyncio
import re
import socket
from contextlib import asynccontextmanager

from aiohttp import CookieJar
from aiohttp.test_utils import TestClient, TestServer

from host_tools.companion.access import Access
from host_tools.companion.archive import Archive
from host_tools.companion.checks import Checks
from host_tools.companion.devices_now import DevicesNow
from host_tools.companion.serving import application
from host_tools.companion.tickets import Tickets
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.owner_withdrawals import OwnerWithdrawals
from host_tools.receiver.recording_worker import RecordingWorker
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.statuses import Statuses
from tests.fakes.satellites import FakeHost

PATIENCE_S = 20


class Opened:
    """The page of the receiver in `data`, and what is behind it."""

    def __init__(self, data):
        self.tickets = Tickets(data)
        self.withdrawals = OwnerWithdrawals(data)
        devices = DeviceList(data / "devices.json")
        self.now = DevicesNow(devices, Statuses(data), Checks(data), self.withdrawals)
        self.host = FakeHost()
        self.clients = []
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.recordings = Recordings(data, 30.0)
        self.worker = RecordingWorker(self.recordings, DeviceList(data / "devices.json"))
        archive = Archive(self.worker)
        self.access = Access(data)
        app = application(self.address, self.tickets, self.now, archive, self.host, self.access)
        self.server = TestServer(app, host="127.0.0.1", socket_factory=lambda *_: listener)

    def client(self):
        """A client that nobody let in."""
        client = TestClient(self.server, cookie_jar=CookieJar(unsafe=True))
        self.clients.append(client)
        return client

    async def enter(self):
        """A client that used a ticket."""
        client = self.client()
        status, _, _ = await ask(client, "GET", "/enter?ticket=" + self.tickets.issue())
        assert status == 200
        return client


async def ask(client, method, path, **options):
    """Status, headers and text of the answer; redirections are not followed."""
    async with client.request(method, path, allow_redirects=False, **options) as answer:
        return answer.status, answer.headers, await answer.text()


async def csrf_of(client):
    """The token in the forms of this client's session."""
    _, _, text = await ask(client, "GET", "/")
    return re.search('name="csrf" value="([^"]+)"', text)[1]


@asynccontextmanager
async def opened(data):
    """The page, served until the block ends."""
    made = Opened(data)
    await made.server.start_server(access_log=None)
    try:
        yield made
    finally:
        for client in made.clients:
            await client.close()
        await made.server.close()
        made.worker.close()


def on_page(data, visit):
    """Run the coroutine function `visit(opened)` while the page is served."""

    async def run():
        async with opened(data) as made:
            await asyncio.wait_for(visit(made), PATIENCE_S)

    asyncio.run(run())
