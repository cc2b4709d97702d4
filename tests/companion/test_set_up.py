"""`earnest companion --setup` and `--reset`, and a real receiver for other computers."""

import asyncio
import re
import signal
import ssl
import stat
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import closing

import pytest
from click.testing import CliRunner

from host_tools.commands import companion, companion_setup
from host_tools.companion import factors, network_names, network_page, set_up
from host_tools.companion.network_names import names_for
from host_tools.companion.sign_in import Outcome, SignIn
from host_tools.errors import HostToolError
from host_tools.receiver import authority as authorities
from host_tools.receiver import page_certificate
from host_tools.receiver.page_certificate import PageCertificate
from host_tools.receiver.recordings import Recordings
from tests.companion.test_network_page import records
from tests.fakes.network_pages import CHEAP, PASSPHRASE, Clock
from tests.fakes.network_pages import set_up as network_set_up
from tests.fakes.pages import ask, on_page
from tests.fakes.receivers import SPEECH, earnest, receiving, samples_of


def code_now(secret, steps=0):
    return factors.code_of(secret, int(time.time()) // factors.STEP_S + steps)


@pytest.fixture
def cheap(monkeypatch):
    """Hashes that cost nothing, by their parameter."""
    keep = set_up.keep
    monkeypatch.setattr(set_up, "keep", lambda *facts: keep(*facts, cost=CHEAP))


def set_up_with(data, monkeypatch, *codes, passphrases=(PASSPHRASE, PASSPHRASE)):
    """The command, with what is typed; a code is made from the secret that it shows."""
    seen = []
    real = factors.uri_of
    monkeypatch.setattr(factors, "uri_of", lambda *given: seen.append(given) or real(*given))
    left = list(codes)
    asked = companion_setup.click.prompt

    def prompt(text, **options):
        if "code" not in text:
            return asked(text, **options)
        code = left.pop(0)
        return code(seen[-1][0]) if callable(code) else code

    monkeypatch.setattr(companion_setup.click, "prompt", prompt)
    arguments = ["--setup", "--data", str(data)]
    return CliRunner().invoke(companion.command, arguments, input="\n".join(passphrases) + "\n")


def test_it_asks_for_both_and_tells_what_to_trust(data, monkeypatch, cheap):
    done = set_up_with(data, monkeypatch, code_now)
    assert done.exit_code == 0, (done.output, done.exception)
    found = factors.load(data)
    assert found.has_passphrase(PASSPHRASE) and PASSPHRASE not in done.output
    assert found.confirmed_step == found.step_of(code_now(found.secret), time.time())
    text = re.sub(r"\s", "", done.output)
    assert found.secret in text and "▀" in done.output
    ca = authorities.open_or_make(data / "authority")
    assert authorities.colons(ca.fingerprint) in done.output
    assert str(data / "authority" / "authority.cert.pem") in done.output
    assert "earnest receive --page-host" in done.output
    assert [each["what"] for each in records(data, "set-up")] == ["set"]
    assert not set_up.offer_path(data).exists()
    again = set_up_with(data, monkeypatch, code_now)
    assert again.exit_code == 0 and "set up already" in again.output
    assert factors.load(data).secret != found.secret


def test_without_a_right_code_nothing_changes(data, monkeypatch, cheap):
    done = set_up_with(data, monkeypatch, "000000", "", "x", "12345678", lambda s: code_now(s, 9))
    assert isinstance(done.exception, HostToolError | SystemExit) and done.exit_code != 0
    assert done.output.count("That is not the code") == 5
    assert not factors.path_in(data).exists() and not set_up.offer_path(data).exists()
    assert not (data / "receiver-audit").exists()
    assert set_up_with(data, monkeypatch, code_now).exit_code == 0
    before = factors.path_in(data).read_bytes()
    assert set_up_with(data, monkeypatch, *5 * ["000000"]).exit_code != 0
    assert factors.path_in(data).read_bytes() == before


def test_a_weak_passphrase_is_asked_for_again(data, monkeypatch, cheap):
    typed = ("short", "short", "passwordpassword", "passwordpassword", PASSPHRASE, PASSPHRASE)
    done = set_up_with(data, monkeypatch, code_now, passphrases=typed)
    assert done.exit_code == 0 and "12 to 256" in done.output and "tried first" in done.output


def test_what_cannot_be_recorded_is_not_set_up(data, monkeypatch):
    data.mkdir()
    monkeypatch.setattr(set_up.ReceiverLog, "add", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        set_up.keep(data, PASSPHRASE, factors.new_secret(), 0, cost=CHEAP)
    assert not factors.path_in(data).exists()


def test_a_reset_closes_before_it_is_recorded(data, monkeypatch):
    data.mkdir()
    assert earnest(data, "companion", "--reset").stdout.endswith("it was so\n")
    set_up.keep(data, PASSPHRASE, factors.new_secret(), 0, cost=CHEAP)
    monkeypatch.setattr(set_up.ReceiverLog, "add", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        set_up.reset(data)
    assert not factors.path_in(data).exists()
    done = earnest(data, "companion", "--reset", "--setup")
    assert done.returncode == 2


def test_the_page_of_this_computer_shows_the_code_while_it_is_set_up(data):
    uri = factors.uri_of(factors.new_secret(), "kitchen")

    async def visit(opened):
        client = await opened.enter()
        assert (await ask(client, "GET", "/sessions/code.svg"))[0] == 404
        with set_up.offered(data, uri):
            path = set_up.offer_path(data)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            text = (await ask(client, "GET", "/sessions"))[2]
            assert 'src="/sessions/code.svg"' in text and "secret=" not in text
            status, headers, svg = await ask(client, "GET", "/sessions/code.svg")
            assert status == 200 and headers["Content-Type"].startswith("image/svg+xml")
            assert headers["Cache-Control"] == "no-store" and svg.startswith("<svg")
            assert (await ask(opened.client(), "GET", "/sessions/code.svg"))[0] == 403
        assert (await ask(client, "GET", "/sessions/code.svg"))[0] == 404
        path.write_text('{"uri": "otpauth://x", "until_s": 1}')
        assert (await ask(client, "GET", "/sessions/code.svg"))[0] == 404

    on_page(data, visit)


def test_a_back_up_has_the_factors_and_no_counts(data, tmp_path):
    authorities.open_or_make(data / "authority")
    clock = Clock()
    network_set_up(data)
    signing = SignIn(data, clock)
    assert asyncio.run(signing.attempt("192.0.2.7", "wrong", ""))[0] is Outcome.WRONG
    assert set_up.offer_path(data).parent.joinpath("sign-in-tries.json").exists()
    assert earnest(data, "backup", tmp_path / "b.tar").returncode == 0
    with tarfile.open(tmp_path / "b.tar") as tar:
        names = tar.getnames()
    assert factors.FILE in names and not [name for name in names if name.startswith("page/")]
    assert earnest(tmp_path / "new", "restore", tmp_path / "b.tar").returncode == 0
    assert stat.S_IMODE(factors.path_in(tmp_path / "new").stat().st_mode) == 0o600
    again = SignIn(tmp_path / "new", clock)
    attempt = again.attempt("192.0.2.7", PASSPHRASE, clock.code())
    assert asyncio.run(attempt)[0] is Outcome.RIGHT
    signing.close()
    again.close()


# The certificate and the names.


def test_names_are_the_owners_first_then_what_this_computer_is(monkeypatch):
    monkeypatch.setattr(network_names.socket, "gethostname", lambda: "Kitchen-PC")
    names = names_for("192.0.2.7", ["Home.example", "2001:DB8::1", "192.0.2.7"])
    assert names == ["home.example", "2001:db8::1", "192.0.2.7", "kitchen-pc", "kitchen-pc.local"]
    every = names_for("0.0.0.0", [])
    assert "0.0.0.0" not in every and not any(name.startswith("127.") for name in every)
    monkeypatch.setattr(network_names.socket, "gethostname", lambda: "localhost.localdomain")
    assert names_for("192.0.2.7", []) == ["192.0.2.7"]
    for wrong in ("a b", "evil/", "*.example", "x" * 64, ""):
        with pytest.raises(HostToolError, match="name"):
            names_for("192.0.2.7", [wrong])


def test_the_certificate_is_renewed_for_other_names_when_old_or_of_another_ca(tmp_path):
    ca = authorities.open_or_make(tmp_path / "authority")
    page = PageCertificate(ca, ["192.0.2.7", "kitchen.test", "2001:db8::1"])
    context = page.context()
    first = page.fingerprint
    assert stat.S_IMODE((ca.folder / "page.key.pem").stat().st_mode) == 0o600
    assert page.renew_if_due(context) is None and page.fingerprint == first
    assert PageCertificate(ca, ["kitchen.test", "2001:db8::1", "192.0.2.7"]).context()
    assert page.fingerprint == first, "the order does not matter"
    found = page._current()
    lasts = found.not_valid_after_utc - found.not_valid_before_utc
    assert 396 <= lasts.days <= 398, "browsers take no more than 825"
    assert PageCertificate(ca, ["192.0.2.8"]).context() and page.fingerprint != first
    second = page.fingerprint
    assert page.renew_if_due(context) and page.fingerprint != second
    other = authorities.open_or_make(tmp_path / "other")
    for name in ("page.cert.pem", "page.key.pem"):
        (other.folder / name).write_bytes((ca.folder / name).read_bytes())
    assert PageCertificate(other, ["192.0.2.7", "kitchen.test", "2001:db8::1"]).renew_if_due(
        context
    )


def test_renewal_begins_sixty_days_before_the_end(tmp_path, monkeypatch):
    ca = authorities.open_or_make(tmp_path / "authority")
    page = PageCertificate(ca, ["192.0.2.7"])
    context = page.context()
    monkeypatch.setattr(page_certificate, "RENEW_DAYS", authorities.PAGE_DAYS - 0.5)
    assert page.renew_if_due(context) is None
    monkeypatch.setattr(page_certificate, "RENEW_DAYS", authorities.PAGE_DAYS + 0.5)
    assert page.renew_if_due(context)
    (ca.folder / "page.key.pem").write_bytes(
        (authorities.open_or_make(tmp_path / "x").folder / "authority.key.pem").read_bytes()
    )
    monkeypatch.undo()
    with pytest.raises(HostToolError, match="do not belong together"):
        page.context()


def test_an_address_that_is_not_ours_says_so(data):
    data.mkdir()
    set_up.keep(data, PASSPHRASE, factors.new_secret(), 0, cost=CHEAP)
    ca = authorities.open_or_make(data / "authority")
    with pytest.raises(HostToolError, match="cannot serve the page on 203.0.113.77"):
        network_page.listen(data, "203.0.113.77", None, (), ca)
    with closing(network_page.listen(data, "127.0.0.1", 0, (), ca).listener) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(HostToolError, match=f"port {port}: .*in use"):
            network_page.listen(data, "127.0.0.1", port, (), ca)


def test_a_real_receiver_lets_in_who_signs_in_until_a_reset(data):
    data.mkdir()
    secret = factors.new_secret()
    set_up.keep(data, PASSPHRASE, secret, 0, cost=CHEAP)
    with closing(Recordings(data, 30.0)) as recordings:
        facts = {"device": "0" * 16, "share_for_training": False, "preroll_ms": 0}
        recordings.add(SPEECH, wake_word="okay_nabu", **facts)
    options = ("--page-host", "127.0.0.2", "--page-port", 0, "--page-name", "kitchen.test")
    with receiving(data, *options) as receiver:
        here = receiver.wait("page")["address"]
        told = receiver.wait("network-page")
        port = told["address"].rpartition(":")[2]
        assert told["address"] == f"https://kitchen.test:{port}"
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", here), "beside the one on this computer"
        tls = ssl.create_default_context(cafile=data / "authority" / "authority.cert.pem")
        address = f"https://127.0.0.2:{port}"
        jar = urllib.request.HTTPCookieProcessor()
        browser = urllib.request.build_opener(urllib.request.HTTPSHandler(context=tls), jar)
        assert "Passphrase" in browser.open(address + "/", timeout=10).read().decode()
        form = {"passphrase": PASSPHRASE, "code": code_now(secret)}
        typed = urllib.parse.urlencode(form).encode()
        page = browser.open(address + "/sign-in", typed, timeout=10)
        assert page.geturl() == address + "/" and "No device may connect" in page.read().decode()
        timeline = browser.open(address + "/timeline", timeout=10).read().decode()
        number = re.search('href="/streams/([0-9]+)"', timeline)[1]
        sound = browser.open(f"{address}/streams/{number}/audio.wav", timeout=10).read()
        assert samples_of(sound) == SPEECH
        with pytest.raises(urllib.error.HTTPError, match="403"):
            browser.open(here + "/", timeout=10)
        assert earnest(data, "companion", "--reset").returncode == 0
        assert browser.open(address + "/", timeout=10).geturl() == address + "/sign-in"
        status, text = receiver.end(signal.SIGTERM)
        assert status == 0 and text == ""
    assert [each["kind"] for each in records(data, "sign-in", "set-up")] == [
        *("set-up", "sign-in", "set-up"),
    ]
    assert {each["source"] for each in records(data, "look")} == {"page-network"}
    done = earnest(data, "receive", "--page-host", "127.0.0.2", "--port", "0")
    assert done.returncode == 2 and "earnest companion --setup" in done.stderr
