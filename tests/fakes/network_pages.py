"""For tests of the page for other computers: the real one, over TLS, and browsers of few lines."""

import asyncio
import ssl
from contextlib import asynccontextmanager

from aiohttp import ClientSession, CookieJar, TCPConnector

from host_tools.companion import factors
from host_tools.companion.access import Access
from host_tools.companion.archive import Archive
from host_tools.companion.checks import Checks
from host_tools.companion.devices_now import DevicesNow
from host_tools.companion.network_page import NetworkPage, Place
from host_tools.companion.page import bind
from host_tools.companion.sign_in import SignIn
from host_tools.companion.tickets import Tickets
from host_tools.receiver import authority as authorities
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.owner_withdrawals import OwnerWithdrawals
from host_tools.receiver.page_certificate import PageCertificate
from host_tools.receiver.recording_worker import RecordingWorker
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.statuses import Statuses
from tests.fakes.pages import PATIENCE_S, ask
from tests.fakes.satellites import FakeHost

CHEAP = factors.Cost(passes=1, memory_kib=8, lanes=1)
PASSPHRASE = "tram oven lilac seven"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
NOW_S = 1_800_000_000.0
NAMES = ("127.0.0.1", "localhost", "kitchen.test")


class Clock:
    def __init__(self):
        self.now_s = NOW_S

    def __call__(self):
        return self.now_s

    def code(self, steps=0):
        return factors.code_of(SECRET, int(self.now_s) // factors.STEP_S + steps)

    def go_on(self, steps=2):
        """To a code that nobody has used."""
        self.now_s += steps * factors.STEP_S


def set_up(data, step=0):
    data.mkdir(exist_ok=True)
    factors.save(data, factors.make(PASSPHRASE, SECRET, step, NOW_S, CHEAP))


class Browser:
    """Trusts the CA; has cookies of its own."""

    def __init__(self, page):
        self._page = page
        self.session = ClientSession(
            connector=TCPConnector(ssl=page.trusting(), limit=4),
            cookie_jar=CookieJar(unsafe=True),
        )

    def request(self, method, path, **options):
        return self.session.request(method, self._page.address + path, **options)

    def get(self, path, **options):
        return self.request("GET", path, **options)


class NetworkOpened:
    """The page for other computers of the receiver in `data`, and what is behind it."""

    def __init__(self, data):
        self.data = data
        self.clock = Clock()
        self.access = Access(data, SignIn(data, self.clock))
        self.tickets = Tickets(data)
        devices = DeviceList(data / "devices.json")
        withdrawals = OwnerWithdrawals(data)
        self.now = DevicesNow(devices, Statuses(data), Checks(data), withdrawals)
        self.host = FakeHost()
        self.recordings = Recordings(data, 30.0)
        self.worker = RecordingWorker(self.recordings, devices)
        self.ca = authorities.open_or_make(data / "authority")
        self.certificate = PageCertificate(self.ca, NAMES)
        listener = bind("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        place = Place(listener, NAMES, self.certificate, self.certificate.context())
        archive = Archive(self.worker, "page-network")
        self.page = NetworkPage(place, self.access, self.now, archive)
        self.address = self.page.address
        self.browsers = []

    def trusting(self):
        return ssl.create_default_context(cadata=self.ca.certificate_der)

    def browser(self):
        """One that nobody let in."""
        self.browsers.append(Browser(self))
        return self.browsers[-1]

    async def sign_in(self, browser=None, passphrase=PASSPHRASE, code=None, **options):
        """Status, headers and text of a try; the right one unless told otherwise."""
        form = {"passphrase": passphrase, "code": self.clock.code() if code is None else code}
        return await ask(browser or self.browser(), "POST", "/sign-in", data=form, **options)

    async def enter(self):
        """A browser that signed in."""
        browser = self.browser()
        self.clock.go_on()
        status, _, text = await self.sign_in(browser)
        assert status == 303, text
        return browser


@asynccontextmanager
async def network_opened(data):
    """The page, served until the block ends."""
    if not factors.path_in(data).exists():
        set_up(data)
    made = NetworkOpened(data)
    made.page.begin(made.host)
    try:
        yield made
    finally:
        for browser in made.browsers:
            await browser.session.close()
        tasks = list(made.host.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        made.worker.close()


def on_network_page(data, visit):
    """Run the coroutine function `visit(opened)` while the page is served."""

    async def run():
        async with network_opened(data) as made:
            await asyncio.wait_for(visit(made), PATIENCE_S)

    asyncio.run(run())
