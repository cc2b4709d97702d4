"""The page for other computers: TLS, who gets what without a session, and how sessions end."""

import asyncio
import os
import random
import ssl
import time

import pytest

from host_tools.audit.device_log import find, read
from host_tools.companion import factors, network_page, set_up
from host_tools.companion.guard import HEADERS
from host_tools.companion.lockout import ONE
from host_tools.companion.sessions import MAX_AGE_S, NETWORK, NETWORK_IDLE_S, Sessions
from host_tools.receiver import handshakes, receiver_log
from tests.companion.test_access import MUTE, ROUTES
from tests.companion.test_timeline import keep
from tests.fakes import network_pages
from tests.fakes.network_pages import NAMES, PASSPHRASE, SECRET, on_network_page
from tests.fakes.pages import ask, csrf_of, opened
from tests.fakes.satellites import FakeSatellite

KITCHEN = "0123456789abcdef"
#: What only this computer's page has.
LOOPBACK_ONLY = ("/sessions/code.svg",)
ROUTES = [route for route in ROUTES if route[1] not in LOOPBACK_ONLY]


def records(data, *kinds):
    """The receiver's log, whose chain is whole."""
    log = read(find((str(data / receiver_log.FOLDER),)), None, receiver_log.KINDS)
    assert log.problems == []
    noise = ("v", "seq", "t_ms", "prev", "hash")
    found = [{k: v for k, v in each.items() if k not in noise} for each in log.records]
    return [each for each in found if each["kind"] in kinds]


def cookies_of(browser):
    return {cookie.key: cookie.value for cookie in browser.session.cookie_jar}


# Without a session.


def test_every_route_but_the_sign_in_is_closed(data):
    async def visit(page):
        page.now.connected(kitchen := FakeSatellite(KITCHEN, "kitchen"))
        inside = await page.enter()
        csrf, stranger = await csrf_of(inside), page.browser()
        [(name, good)] = cookies_of(inside).items()
        async with opened(data) as here:
            client = await here.enter()
            [loopback] = [cookie.value for cookie in client.session.cookie_jar]
            forged = (None, "", "x" * 43, "\u00e9", page.tickets.issue(), csrf, loopback)
            for method, path in [*ROUTES, ("GET", "/enter"), ("POST", "/enter")]:
                for cookie in forged:
                    headers = {} if cookie is None else {"Cookie": f"{name}={cookie}"}
                    form = {"csrf": csrf} if method == "POST" else None
                    answer = await ask(stranger, method, path, headers=headers, data=form)
                    status, headers, text = answer
                    is_led = (status, path) == (303, "/") and headers["Location"] == "/sign-in"
                    assert status == 403 or is_led, (path, cookie, answer)
                    assert "kitchen" not in text and "csrf" not in text
        status, headers, _ = await ask(
            page.browser(), "GET", "/", headers={"Cookie": f"earnest-{page.port}={good}"}
        )
        assert status == 303, "the cookie has one name"
        ticket = page.tickets.issue()
        assert (await ask(page.browser(), "GET", f"/enter?ticket={ticket}"))[0] == 403
        assert (await ask(inside, "GET", f"/enter?ticket={ticket}"))[0] == 404
        assert kitchen.asked == [] and (await ask(inside, "GET", "/"))[0] == 200

    on_network_page(data, visit)


def test_every_route_of_the_network_page_is_in_these_tests(data):
    async def visit(page):
        await page.enter()
        app = page.page._runner.app
        routes = {(route.method, route.resource.canonical) for route in app.router.routes()}
        of = {KITCHEN: "{id}", "01234567": "{id}"}
        of |= {f"{room}/1": room + "/{number}" for room in ("streams", "review")}
        tested = {("GET", "/sign-in"), ("POST", "/sign-in")}
        for method, path in ROUTES:
            for value, name in {**of, "live.js": "{name}"}.items():
                path = path.replace(value, name)
            tested.add((method, path))
        assert routes == tested

    on_network_page(data, visit)


def test_a_session_of_another_kind_is_none_on_this_computer(data):
    async def visit(page):
        browser = await page.enter()
        [value] = cookies_of(browser).values()
        async with opened(data) as here:
            name = "earnest-" + here.address.rpartition(":")[2]
            here.access.sessions._sessions.update(page.access.sessions._sessions)
            answer = await ask(here.client(), "GET", "/", headers={"Cookie": f"{name}={value}"})
            assert answer[0] == 403

    on_network_page(data, visit)


def test_the_cookie_is_for_tls_this_host_and_no_script(data):
    async def visit(page):
        browser = page.browser()
        status, headers, text = await page.sign_in(browser)
        assert (status, headers["Location"], text) == (303, "/", "")
        name, *rules = headers["Set-Cookie"].split("; ")
        assert name.startswith(f"__Host-earnest-{page.port}=")
        assert len(name.partition("=")[2]) == 43
        assert set(rules) == {"HttpOnly", "SameSite=Strict", "Path=/", "Secure"}
        csrf = await csrf_of(browser)
        status, headers, _ = await ask(browser, "POST", "/leave", data={"csrf": csrf})
        assert status == 200 and "Secure" in headers["Set-Cookie"]
        assert "Max-Age=0" in headers["Set-Cookie"] and cookies_of(browser) == {}

    on_network_page(data, visit)


def test_every_answer_carries_the_policy_and_there_is_no_hsts(data):
    async def visit(page):
        answers = [
            await ask(page.browser(), "GET", "/"),
            await ask(page.browser(), "GET", "/sign-in"),
            await page.sign_in(passphrase="wrong"),
            await page.sign_in(),
            await ask(page.browser(), "GET", "/nowhere"),
            await ask(page.browser(), "GET", "/static/style.css"),
            await ask(page.browser(), "GET", "/", headers={"Host": "evil.example"}),
        ]
        assert [each[0] for each in answers] == [303, 200, 403, 303, 403, 200, 421]
        for _, headers, _ in answers:
            assert {name: headers.get(name) for name in HEADERS} == HEADERS
            assert "Strict-Transport-Security" not in headers, "it is for every port of a host"

    on_network_page(data, visit)


@pytest.mark.parametrize("host", ["evil.example:{port}", "127.0.0.1", "192.0.2.9:{port}", ""])
def test_a_name_that_it_was_not_started_for_is_refused(data, host):
    async def visit(page):
        name, stranger = host.format(port=page.port), page.browser()
        for method, path in [*ROUTES, ("GET", "/sign-in"), ("POST", "/sign-in")]:
            answer = await ask(stranger, method, path, headers={"Host": name})
            assert answer[0] == 421 and "csrf" not in answer[2]
        for right in NAMES:
            headers = {"Host": f"{right}:{page.port}"}
            assert (await ask(stranger, "GET", "/sign-in", headers=headers))[0] == 200

    on_network_page(data, visit)


def test_no_path_leads_out_of_what_is_served(data):
    async def visit(page):
        browser = await page.enter()
        [(name, value)] = cookies_of(browser).items()
        for path in (
            *("/static/../page.py", "/static/..%2fpage.py", "/static/%2e%2e/templates/now.html"),
            *("/sessions/%2e%2e/end", "/sessions/..%2f/end", "//evil.example/", "/sign-in/../"),
            *("/sign-in%00", "/Sign-In", "/sign-in/", "/sessions/code.svg", "/static//etc/passwd"),
        ):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", page.port, ssl=page.trusting()
            )
            head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nConnection: close\r\n"
            writer.write(f"{head}Cookie: {name}={value}\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            assert int(answer.split(b" ")[1]) in (400, 404, 405), (path, answer)

    on_network_page(data, visit)


# Signing in.


def test_wrong_passphrase_and_wrong_code_get_one_answer(data):
    async def visit(page):
        page.clock.go_on()
        right = page.clock.code()
        answers = [
            await page.sign_in(passphrase="wrong", code=right),
            await page.sign_in(code="123456"),
            await page.sign_in(passphrase="wrong", code=""),
            await page.sign_in(passphrase="<script>x</script>", code="<script>y</script>"),
        ]
        assert {(status, text) for status, _, text in answers} == {(403, answers[0][2])}
        assert 'role="alert"' in answers[0][2] and "wrong" in answers[0][2]
        assert not any("Set-Cookie" in headers for _, headers, _ in answers)
        assert all("<script" not in text for _, _, text in answers)
        assert (await page.sign_in(code=f"{right[:3]} {right[3:]}"))[0] == 303, "as apps show it"
        assert (await page.sign_in(code=right))[0] == 403, "it counts once"

    on_network_page(data, visit)


def test_brute_force_is_locked_out_and_the_lock_heals(data):
    async def visit(page):
        browser = page.browser()
        for _ in range(ONE.free):
            assert (await page.sign_in(browser, passphrase="wrong"))[0] == 403
        answers = await asyncio.gather(*(page.sign_in(browser) for _ in range(20)))
        assert {status for status, _, _ in answers} == {429}
        status, headers, text = answers[0]
        assert headers["Retry-After"] == "2" and "Try again in 2 seconds" in text
        ticket = page.tickets.issue()
        async with opened(data) as here:  # the owner, at the receiver, is never locked out
            assert (await ask(here.client(), "GET", f"/enter?ticket={ticket}"))[0] == 200
        page.clock.now_s += 2
        assert (await page.sign_in(browser))[0] == 303
        text = (await ask(browser, "GET", "/sessions"))[2]
        assert "25 since the receiver started" in text and "127.0.0.1" in text

    on_network_page(data, visit)


def test_who_claims_another_address_is_counted_by_the_real_one(data):
    async def visit(page):
        for n in range(ONE.free):
            headers = {"X-Forwarded-For": f"192.0.2.{n}", "Forwarded": f"for=192.0.2.{n}"}
            await page.sign_in(passphrase="wrong", headers=headers)
        assert (await page.sign_in(headers={"X-Forwarded-For": "192.0.2.99"}))[0] == 429

    on_network_page(data, visit)


def test_another_web_page_can_neither_sign_in_nor_lock_the_owner_out(data):
    async def visit(page):
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": f"http://127.0.0.1:{page.port}"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            for _ in range(3):
                status, headers_back, _ = await page.sign_in(headers=headers)
                assert status == 403 and "Set-Cookie" not in headers_back
        near = {"Origin": page.address, "Sec-Fetch-Site": "same-origin"}
        assert (await page.sign_in(headers=near))[0] == 303
        assert page.access.log.failures.total == 0

    on_network_page(data, visit)


def test_a_change_needs_a_form_of_this_session_on_this_page(data):
    async def visit(page):
        page.now.connected(kitchen := FakeSatellite(KITCHEN, "kitchen"))
        browser, other = await page.enter(), await page.enter()
        mine, anothers = await csrf_of(browser), await csrf_of(other)
        assert mine != anothers
        for form in (None, {}, {"csrf": anothers}, {"csrf": mine + "x"}):
            for path in (MUTE, "/sessions/end", "/leave"):
                assert (await ask(browser, "POST", path, data=form))[0] == 403
        plain = {"Origin": f"http://127.0.0.1:{page.port}"}
        answer = await ask(browser, "POST", MUTE, data={"csrf": mine}, headers=plain)
        assert answer[0] == 403 and kitchen.asked == []
        near = {"Origin": page.address}
        answer = await ask(browser, "POST", MUTE, data={"csrf": mine}, headers=near)
        assert answer[0] == 303 and kitchen.asked == ["mute"]

    on_network_page(data, visit)


def test_a_strangers_form_is_small_and_says_so(data):
    async def visit(page):
        assert (await page.sign_in(passphrase="x" * 9000))[0] == 413

        async def endless():
            yield b"passphrase=x"

        answer = await ask(page.browser(), "POST", "/sign-in", data=endless())
        assert answer[0] == 413
        assert page.access.log.failures.total == 0

    on_network_page(data, visit)


@pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionHeader")
def test_a_form_that_is_none_is_refused_and_nothing_fails(data):
    async def visit(page):
        stranger, chosen = page.browser(), random.Random(7)
        kinds = ("multipart/form-data; boundary=b", "application/x-www-form-urlencoded", "a/b")
        body = b'--b\r\nContent-Disposition: form-data; name="passphrase"\r\n\r\nx\r\n--b--\r\n'
        for n in range(120):
            at = chosen.randrange(len(body))
            part = chosen.choice([b"", b"\r\n--b\r\n", b"\0", b'"', b"--b--", b"\xff", b"=", b"%"])
            bad = body[:at] + part + body[at + chosen.randrange(60) :]
            headers = {"Content-Type": kinds[n % 3]}
            status, _, _ = await ask(stranger, "POST", "/sign-in", data=bad, headers=headers)
            assert status in (400, 403, 429), (bad, status)
            page.clock.now_s += 1000
        assert page.host.events("warning") == []

    on_network_page(data, visit)


def test_nobody_is_let_in_who_cannot_be_recorded(data, monkeypatch):
    real = os.open

    def full(path, *arguments, **options):
        if str(path).endswith(receiver_log.LOG_NAME):
            raise OSError(28, "No space left on device")
        return real(path, *arguments, **options)

    async def visit(page):
        monkeypatch.setattr(os, "open", full)
        status, headers, _ = await page.sign_in()
        assert status == 500 and "Set-Cookie" not in headers
        assert page.access.sessions.all(time.monotonic()) == []
        monkeypatch.undo()
        assert (await page.sign_in())[0] == 403, "the code is used"
        page.clock.go_on()
        assert (await page.sign_in())[0] == 303

    on_network_page(data, visit)


def test_without_factors_the_form_says_how_to_set_them_up(data):
    async def visit(page):
        factors.path_in(data).unlink()
        status, _, text = await page.sign_in()
        assert status == 403 and "earnest companion --setup" in text

    on_network_page(data, visit)


# Sessions.


def test_a_session_ends_by_itself():
    book = Sessions()
    cookie = book.begin(0.0, NETWORK, "192.0.2.7")
    assert book.find(cookie, NETWORK_IDLE_S - 1, NETWORK)
    assert book.find(cookie, 2 * NETWORK_IDLE_S, NETWORK) is None
    cookie, now_s = book.begin(0.0, NETWORK), 0.0
    while now_s < MAX_AGE_S:
        assert book.find(cookie, now_s, NETWORK), now_s
        now_s += NETWORK_IDLE_S - 1
    assert book.find(cookie, MAX_AGE_S, NETWORK) is None


def test_sessions_are_listed_and_one_or_all_are_ended(data):
    async def visit(page):
        first, second, third = [await page.enter() for _ in range(3)]
        text = (await ask(first, "GET", "/sessions"))[2]
        assert text.count('scope="row"') == 3 and text.count("This browser") == 1
        assert text.count("<td>127.0.0.1</td>") == 3
        for browser in (first, second, third):
            for value in cookies_of(browser).values():
                assert value not in text
        form = {"csrf": await csrf_of(first)}
        ids = [session.id for session in page.access.sessions.all(time.monotonic())]
        assert (await ask(first, "POST", f"/sessions/{ids[1]}/end", data=form))[0] == 303
        for wrong in (ids[1], "x", "%00", "a" * 3000, "<script>"):
            status, _, text = await ask(first, "POST", f"/sessions/{wrong}/end", data=form)
            assert status in (404, 409) and "<script>" not in text
        assert (await ask(second, "GET", "/"))[0] == 303
        async with third.get("/live") as live:
            await live.content.readuntil(b"\n\n")
            assert (await ask(first, "POST", "/sessions/end", data=form))[0] == 200
            assert await live.content.read() == b""
        assert [(await ask(each, "GET", "/"))[0] for each in (first, third)] == [303, 303]
        outs = records(data, "sign-out")
        assert [(out["why"], out["sessions"]) for out in outs] == [
            ("ended", 1),
            ("everywhere", 2),
        ]

    on_network_page(data, visit)


def test_a_set_up_that_is_going_on_is_shown_on_the_receivers_computer_alone(data):
    async def visit(page):
        browser = await page.enter()
        with set_up.offered(data, factors.uri_of(SECRET, "kitchen")):
            status, _, text = await ask(browser, "GET", "/sessions")
            assert status == 200 and "being set up" not in text and "code.svg" not in text
            assert (await ask(browser, "GET", "/sessions/code.svg"))[0] == 404

    on_network_page(data, visit)


@pytest.mark.parametrize("is_reset", [True, False])
def test_a_set_up_or_a_reset_ends_every_session_at_once(data, is_reset):
    async def visit(page):
        browser = await page.enter()
        here = page.access.sessions.begin(time.monotonic())
        if is_reset:
            assert set_up.reset(data)
        else:
            set_up.keep(data, "nine quiet owls blink", SECRET, 0, cost=network_pages.CHEAP)
        assert (await ask(browser, "GET", "/"))[0] == 303
        assert page.access.sessions.find(here, time.monotonic()) is None
        page.clock.go_on()
        assert (await page.sign_in())[0] == 403, "the passphrase of before"
        status, _, _ = await page.sign_in(passphrase="nine quiet owls blink")
        assert status == (403 if is_reset else 303)
        assert [each["what"] for each in records(data, "set-up")] == [
            "reset" if is_reset else "set"
        ]

    on_network_page(data, visit)


def test_a_sign_in_that_a_reset_overtakes_lets_nobody_in(data, monkeypatch):
    async def visit(page):
        record = page.access.log.signed_in

        async def slow(session):
            await record(session)
            set_up.reset(data)

        monkeypatch.setattr(page.access.log, "signed_in", slow)
        status, headers, _ = await page.sign_in()
        assert status == 403 and "Set-Cookie" not in headers
        assert page.access.sessions.all(time.monotonic()) == []

    on_network_page(data, visit)


def test_a_page_that_nobody_looks_at_keeps_no_session_alive(data, monkeypatch):
    async def visit(page):
        browser = await page.enter()
        [session] = page.access.sessions.all(time.monotonic())
        used_s = session.used_s
        async with browser.get("/live") as live:
            await live.content.readuntil(b"\n\n")
        assert session.used_s == used_s
        assert (await ask(browser, "GET", "/"))[0] == 200 and session.used_s > used_s

    on_network_page(data, visit)


# What is recorded.


def test_what_happens_is_in_the_receivers_log_without_a_secret(data):
    async def visit(page):
        for _ in range(3):
            await page.sign_in(passphrase="my wrong passphrase", code="135791")
        browser = await page.enter()
        row = await keep(page, 1_800_000_000.0)
        text = (await ask(browser, "GET", "/timeline"))[2]
        number = text.split('href="/streams/')[1].split('"')[0]
        async with browser.get(f"/streams/{number}/download") as answer:
            assert answer.status == 200 and (await answer.read())[:4] == b"RIFF"
        csrf = await csrf_of(browser)
        form = {"csrf": csrf, "row": number}
        assert (await ask(browser, "POST", "/delete", data=form))[0] == 200
        assert (await ask(browser, "POST", "/leave", data={"csrf": csrf}))[0] == 200
        [sign_in] = records(data, "sign-in")
        id = sign_in["id"]
        assert sign_in == {
            **{"kind": "sign-in", "session": "network", "id": id, "address": "127.0.0.1"}
        }
        assert records(data, "sign-out") == [
            {"kind": "sign-out", "why": "left", "sessions": 1, "id": id}
        ]
        looks = records(data, "look", "delete")
        assert [(each["kind"], each["source"]) for each in looks] == [
            ("look", "page-network"),
            ("delete", "page-network"),
        ]
        assert {each["recording"] for each in looks} == {row.recording}
        [failed] = records(data, "sign-in-failed")
        assert failed["count"] == 1, "the first at once"
        for value in cookies_of(browser).values():
            assert value not in (data / receiver_log.FOLDER / "audit.jsonl").read_text()

    on_network_page(data, visit)
    assert [each["count"] for each in records(data, "sign-in-failed")] == [1, 2], "the rest"
    text = (data / receiver_log.FOLDER / "audit.jsonl").read_text()
    for secret in (PASSPHRASE, "my wrong passphrase", "135791", SECRET, "argon2"):
        assert secret not in text


def test_a_flood_of_tries_makes_few_records(data):
    async def visit(page):
        browser = page.browser()
        await asyncio.gather(*(page.sign_in(browser, passphrase="x") for _ in range(60)))

    on_network_page(data, visit)
    failed = records(data, "sign-in-failed")
    assert len(failed) == 2
    assert sum(each["count"] + each["refused"] for each in failed) == 60


# TLS.


def test_the_certificate_is_the_cas_for_each_name_and_for_no_other(data):
    async def visit(page):
        async def meet(name, tls):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", page.port, ssl=tls, server_hostname=name
            )
            found = writer.get_extra_info("ssl_object")
            writer.close()
            return found

        for name in NAMES:
            found = await meet(name, page.trusting())
            assert found.version() == "TLSv1.3"
            alternatives = [value for _, value in found.getpeercert()["subjectAltName"]]
            assert alternatives == list(NAMES)
        for name in ("evil.example", "127.0.0.2", "test"):
            with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
                await meet(name, page.trusting())
        with pytest.raises(ssl.SSLCertVerificationError, match="local issuer"):
            await meet("127.0.0.1", ssl.create_default_context())
        old = page.trusting()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await meet("127.0.0.1", old)

    on_network_page(data, visit)


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT"])
def test_plain_http_is_told_where_to_go_and_gets_nothing(data, method):
    async def visit(page):
        reader, writer = await asyncio.open_connection("127.0.0.1", page.port)
        head = f"{method} / HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nContent-Length: 0\r\n\r\n"
        writer.write(head.encode())
        answer = (await reader.read()).decode()
        writer.close()
        assert answer.startswith("HTTP/1.1 400 ") and f"https only: {page.address}\n" in answer
        assert "Set-Cookie" not in answer and "Location" not in answer
        reader, writer = await asyncio.open_connection("127.0.0.1", page.port)
        writer.write(b"\x00\x01garbage\r\n\r\n" * 10)
        assert b"HTTP" not in await reader.read()
        writer.close()

    on_network_page(data, visit)


def test_connections_of_strangers_are_few_and_short_and_make_way(data, monkeypatch):
    monkeypatch.setattr(network_page, "STRANGER_S", 1.0)

    async def visit(page):
        browser = await page.enter()
        async with browser.get("/live") as live:
            await live.content.readuntil(b"\n\n")
            silent = [
                await asyncio.open_connection("127.0.0.1", page.port, ssl=page.trusting())
                for _ in range(handshakes.MAX_HANDSHAKES_PER_ADDRESS + 1)
            ]
            raw = [await asyncio.open_connection("127.0.0.1", page.port) for _ in range(3)]
            assert await asyncio.wait_for(silent[0][0].read(), 0.9) == b"", "made way"
            assert (await ask(browser, "GET", "/"))[0] == 200
            for reader, writer in silent:
                assert await asyncio.wait_for(reader.read(), 5) == b""
                writer.close()
            for _, writer in raw:
                writer.close()
            page.now.connected(FakeSatellite(KITCHEN, "kitchen"))
            while b"kitchen" not in (line := await live.content.readline()):
                assert line, "a session's connection was ended"

    on_network_page(data, visit)
