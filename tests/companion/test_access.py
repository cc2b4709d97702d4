"""Who may look: tickets, sessions, the Host header, cross-site requests, and every header."""

import asyncio
import os
import time

import pytest

from host_tools.companion import sessions, tickets
from host_tools.companion.guard import HEADERS, POLICY
from host_tools.companion.serving import MAX_BODY_BYTES
from host_tools.companion.sessions import IDLE_S, MAX_AGE_S, MAX_SESSIONS, Sessions
from host_tools.companion.tickets import TICKET_S, Tickets
from host_tools.errors import HostToolError
from host_tools.receiver.receiver_log import FOLDER, LOG_NAME, ReceiverLog
from tests.fakes.pages import ask, csrf_of, on_page
from tests.fakes.satellites import FakeSatellite

MUTE = "/devices/0123456789abcdef/mute"
WITHDRAW = "/devices/0123456789abcdef/withdraw"
#: Every route that needs a session.
ROUTES = [
    ("GET", "/"),
    ("GET", "/live"),
    ("GET", "/static/live.js"),
    ("GET", "/timeline"),
    ("GET", "/left"),
    ("GET", "/streams/1"),
    ("GET", "/streams/1/audio.wav"),
    ("GET", "/streams/1/download"),
    ("GET", "/streams/1/waveform.svg"),
    ("POST", "/delete/ask"),
    ("POST", "/delete"),
    ("POST", "/left/check"),
    ("GET", "/donation"),
    ("GET", "/donation/set"),
    ("GET", "/donation/review/1"),
    ("POST", "/donation/review/1"),
    ("POST", "/donation/archive"),
    ("POST", "/donation/download"),
    ("POST", "/donation/remove"),
    ("POST", "/streams/1/labels"),
    ("POST", MUTE),
    ("GET", WITHDRAW),
    ("POST", WITHDRAW),
    ("POST", "/leave"),
    ("GET", "/sessions"),
    ("GET", "/sessions/code.svg"),
    ("POST", "/sessions/end"),
    ("POST", "/sessions/01234567/end"),
]


def is_refused(answer):
    status, headers, text = answer
    return status in (403, 404, 405, 421) and "kitchen" not in text and 'name="csrf"' not in text


def test_every_route_of_the_page_is_in_these_tests(data):
    async def visit(opened):
        routes = {
            (route.method, route.resource.canonical) for route in opened.server.app.router.routes()
        }
        of = {"0123456789abcdef": "{id}", "01234567": "{id}", "live.js": "{name}"}
        of |= {f"{room}/1": room + "/{number}" for room in ("streams", "review")}
        tested = set()
        for method, path in [("GET", "/enter"), *ROUTES]:
            for value, name in of.items():
                path = path.replace(value, name)
            tested.add((method, path))
        assert routes == tested

    on_page(data, visit)


@pytest.mark.parametrize("method, path", ROUTES)
def test_without_a_session_or_with_a_forged_one_nothing_is_shown_and_nothing_done(
    data, method, path
):
    async def visit(opened):
        kitchen = FakeSatellite("0123456789abcdef", "kitchen")
        opened.now.connected(kitchen)
        client, inside = opened.client(), await opened.enter()
        csrf = await csrf_of(inside)
        name = "earnest-" + opened.address.rpartition(":")[2]
        for cookie in (None, "", "x" * 43, "\u00e9", opened.tickets.issue(), csrf):
            headers = {} if cookie is None else {"Cookie": f"{name}={cookie}"}
            data = {"csrf": csrf} if method == "POST" else None
            answer = await ask(client, method, path, headers=headers, data=data)
            assert answer[0] == 403 and is_refused(answer), (cookie, answer)
        assert kitchen.asked == [] and opened.withdrawals.all() == []
        assert (await ask(inside, "GET", "/"))[0] == 200

    on_page(data, visit)


def test_a_ticket_is_good_once_and_for_a_while(data, monkeypatch):
    async def visit(opened):
        ticket = opened.tickets.issue()
        first, second = opened.client(), opened.client()
        status, headers, _ = await ask(first, "GET", f"/enter?ticket={ticket}")
        assert status == 200
        cookie = headers["Set-Cookie"].split("; ")
        assert cookie[0].startswith("earnest-") and len(cookie[0].partition("=")[2]) == 43
        assert set(cookie[1:]) == {"HttpOnly", "SameSite=Strict", "Path=/"}
        assert (await ask(first, "GET", "/"))[0] == 200
        status, headers, text = await ask(second, "GET", f"/enter?ticket={ticket}")
        assert status == 403 and "used before" in text and "Set-Cookie" not in headers
        assert is_refused(await ask(second, "GET", "/"))
        for forged in ("", "x" * 43, "../" * 10, ticket[:-1], ticket + "\0", "a" * 2000, "%2e%2e"):
            answer = await ask(second, "GET", "/enter", params={"ticket": forged})
            assert answer[0] == 403 and "Set-Cookie" not in answer[1], forged
        late = opened.tickets.issue()
        past = time.time() - TICKET_S - 5
        for path in (data / tickets.FOLDER).glob("*.ticket"):
            os.utime(path, (past, past))
        answer = await ask(second, "GET", f"/enter?ticket={late}")
        assert answer[0] == 403 and not list((data / tickets.FOLDER).glob("*.ticket"))

    on_page(data, visit)


def test_a_ticket_lets_in_nobody_who_cannot_be_recorded(data, monkeypatch):
    def full(*_, **__):
        raise HostToolError("No space left on device")

    async def visit(opened):
        with monkeypatch.context() as patched:
            patched.setattr(ReceiverLog, "add", full)
            ticket = opened.tickets.issue()
            answer = await ask(opened.client(), "GET", f"/enter?ticket={ticket}")
            assert answer[0] == 500 and "Set-Cookie" not in answer[1]
        client = await opened.enter()
        assert (await ask(client, "GET", "/"))[0] == 200
        log = (data / FOLDER / LOG_NAME).read_text()
        assert log.count('"kind":"sign-in","session":"loopback"') == 1
        csrf = await csrf_of(client)
        with monkeypatch.context() as patched:
            patched.setattr(ReceiverLog, "add", full)
            assert (await ask(client, "POST", "/leave", data={"csrf": csrf}))[0] == 200
        assert (await ask(client, "GET", "/"))[0] == 403, "out all the same"

    on_page(data, visit)


def test_two_browsers_that_use_one_ticket_at_once_get_one_session(data):
    async def visit(opened):
        ticket = opened.tickets.issue()
        clients = [opened.client() for _ in range(8)]
        answers = await asyncio.gather(
            *(ask(client, "GET", f"/enter?ticket={ticket}") for client in clients)
        )
        assert sorted(status for status, _, _ in answers) == [200] + 7 * [403]

    on_page(data, visit)


def test_the_folder_of_tickets_is_its_owners_alone_and_holds_no_ticket(data):
    book = Tickets(data)
    with pytest.raises(HostToolError, match="no receiver serves its page"):
        book.link()
    book.announce("http://127.0.0.1:10781")
    ticket = book.link().partition("ticket=")[2]
    folder = data / tickets.FOLDER
    assert folder.stat().st_mode & 0o077 == 0
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0
        assert ticket not in path.name and ticket.encode() not in path.read_bytes()
    doorway = book.doorway()
    assert doorway.stat().st_mode & 0o077 == 0 and "/enter?ticket=" in doorway.read_text()
    book.retract()
    assert not doorway.exists()
    (folder / "address.json").write_text('{"address": "https://evil.example"}')
    with pytest.raises(HostToolError, match="damaged"):
        book.link()


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "", "localhost", "127.0.0.1.evil:{port}"]
)
def test_another_name_that_points_here_is_refused(data, host):
    """DNS rebinding: the attacker's name resolves to 127.0.0.1, and its page is same-origin."""

    async def visit(opened):
        client = await opened.enter()
        name = host.format(port=opened.address.rpartition(":")[2])
        ticket = opened.tickets.issue()
        for method, path in [("GET", f"/enter?ticket={ticket}"), *ROUTES, ("GET", "/nowhere")]:
            answer = await ask(client, method, path, headers={"Host": name})
            assert answer[0] == 421 and is_refused(answer), path
        right = "localhost:" + opened.address.rpartition(":")[2]
        assert (await ask(client, "GET", "/", headers={"Host": right}))[0] in (200, 403)
        assert (await ask(client, "GET", f"/enter?ticket={ticket}"))[0] == 200, "used up"

    on_page(data, visit)


def test_a_change_needs_a_form_of_this_session_on_this_page(data):
    async def visit(opened):
        kitchen = FakeSatellite("0123456789abcdef", "kitchen")
        opened.now.connected(kitchen)
        client, other = await opened.enter(), await opened.enter()
        mine, anothers = await csrf_of(client), await csrf_of(other)
        assert mine != anothers
        for data in (None, {}, {"csrf": ""}, {"csrf": anothers}, {"csrf": mine + "x"}):
            assert is_refused(await ask(client, "POST", MUTE, data=data)), data
        assert is_refused(await ask(client, "POST", MUTE, json={"csrf": mine}))
        assert is_refused(await ask(client, "POST", MUTE + f"?csrf={mine}"))
        assert is_refused(await ask(client, "GET", MUTE))
        for strange in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
        ):
            answer = await ask(client, "POST", MUTE, data={"csrf": mine}, headers=strange)
            assert answer[0] == 403, strange
        assert kitchen.asked == []
        near = {"Origin": opened.address, "Sec-Fetch-Site": "same-origin"}
        answer = await ask(client, "POST", MUTE, data={"csrf": mine}, headers=near)
        assert answer[0] == 303 and answer[1]["Location"] == "/"
        assert kitchen.asked == ["mute"]

    on_page(data, visit)


def test_every_answer_carries_the_policy_and_is_kept_nowhere(data):
    async def visit(opened):
        client = await opened.enter()
        csrf = await csrf_of(client)
        answers = [
            await ask(client, "GET", "/"),
            await ask(client, "GET", "/static/live.js"),
            await ask(client, "GET", "/static/style.css"),
            await ask(client, "GET", "/nowhere"),
            await ask(client, "PUT", "/", data={"csrf": csrf}),
            await ask(client, "POST", MUTE, data={"csrf": csrf}),
            await ask(opened.client(), "GET", "/"),
            await ask(client, "GET", "/", headers={"Host": "evil.example"}),
            await ask(client, "GET", "/enter?ticket=" + opened.tickets.issue()),
        ]
        async with client.get("/live") as live:
            answers.append((live.status, live.headers, ""))
        assert [status for status, _, _ in answers] == [
            *(200, 200, 200, 404, 405, 409, 403, 421, 200, 200)
        ]
        for _, headers, _ in answers:
            assert {name: headers.get(name) for name in HEADERS} == HEADERS
            assert "Access-Control-Allow-Origin" not in headers

    on_page(data, visit)
    assert "unsafe" not in POLICY and "http" not in POLICY and "*" not in POLICY


def test_no_path_leads_out_of_what_is_served(data):
    paths = (
        "/static/../page.py",
        "/static/..%2fpage.py",
        "/static/..%5cpage.py",
        "/static/%2e%2e/templates/now.html",
        "/static//etc/passwd",
        "/static/live.js%00",
        "/static/",
        "//evil.example/",
        "/templates/now.html",
        "/devices/%2e%2e%2f/mute",
        "http://evil.example/static/x",
    )

    async def visit(opened):
        client = await opened.enter()
        [cookie] = client.session.cookie_jar
        for path in paths:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", opened.address.rpartition(":")[2]
            )
            head = f"GET {path} HTTP/1.1\r\nHost: {opened.address[7:]}\r\nConnection: close\r\n"
            writer.write(f"{head}Cookie: {cookie.key}={cookie.value}\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            status = int(answer.split(b" ")[1])
            assert status in (400, 404, 405) or (status, path) == (421, paths[-1]), (path, answer)
            assert b"jinja" not in answer and b"root:" not in answer

    on_page(data, visit)


def test_an_id_that_is_not_a_connected_devices_does_nothing(data):
    async def visit(opened):
        kitchen = FakeSatellite("0123456789abcdef", "kitchen")
        opened.now.connected(kitchen)
        client = await opened.enter()
        form = {"csrf": await csrf_of(client)}
        for id in ("", "x", "..%2f..", "%00", "a" * 3000, "<script>", "insecure"):
            status, _, text = await ask(client, "POST", f"/devices/{id}/mute", data=form)
            assert status in (404, 409) and "<script>" not in text and kitchen.asked == [], id

    on_page(data, visit)


def test_a_large_form_and_a_long_header_are_refused(data):
    async def visit(opened):
        client = await opened.enter()
        form = {"csrf": await csrf_of(client), "x": "y" * MAX_BODY_BYTES}
        assert (await ask(client, "POST", MUTE, data=form))[0] == 413
        assert (await ask(client, "GET", "/"))[0] == 200

    on_page(data, visit)


def test_who_leaves_is_out_also_of_a_live_view(data):
    async def visit(opened):
        client = await opened.enter()
        csrf = await csrf_of(client)
        cookies = {c.key: c.value for c in client.session.cookie_jar}
        async with client.get("/live") as live:
            await live.content.readuntil(b"\n\n")
            assert (await ask(client, "POST", "/leave", data={"csrf": csrf}))[0] == 200
            assert await live.content.read() == b""
        assert is_refused(await ask(opened.client(), "GET", "/", cookies=cookies))

    on_page(data, visit)


def test_sessions_end_by_themselves_and_the_oldest_makes_way():
    book = Sessions()
    cookie = book.begin(0.0)
    assert book.find(cookie, IDLE_S - 1) and book.find(cookie, 2 * IDLE_S - 2)
    assert book.find(cookie, 3 * IDLE_S) is None
    cookie, now_s = book.begin(0.0), 0.0
    while now_s < MAX_AGE_S:
        session = book.find(cookie, now_s)
        assert session is not None, now_s
        now_s += IDLE_S - 1
    assert book.find(cookie, MAX_AGE_S) is None and session.is_over
    watched = book.find(first := book.begin(0.0), 0.0)
    assert book.is_good(watched, IDLE_S - 1), "looking on does not prolong it"
    assert not book.is_good(watched, IDLE_S)
    assert book.find(first, IDLE_S) is None
    cookies = [book.begin(1.0 * number) for number in range(MAX_SESSIONS + 1)]
    assert book.find(cookies[0], 20.0) is None
    assert all(book.find(cookie, 20.0) for cookie in cookies[1:])
    assert not any(cookie in repr(vars(book)) for cookie in cookies)
    assert sessions.MAX_AGE_S >= sessions.IDLE_S
