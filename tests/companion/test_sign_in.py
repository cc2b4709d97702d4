"""Who may sign in from another computer: two factors, guesses that cost time, codes that count
once.  Hashes are cheap here by their parameter, and clocks are passed in."""

import asyncio
import json
import time

import pytest

from host_tools.companion import factors, lockout, sign_in
from host_tools.companion.lockout import ONE, STRANGERS, Lockout
from host_tools.companion.sign_in import MAX_WAITING, Outcome, SignIn
from host_tools.errors import HostToolError
from tests.fakes.network_pages import CHEAP, NOW_S, PASSPHRASE, SECRET, Clock, set_up

STEP = int(NOW_S) // factors.STEP_S


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def signing(data, clock):
    set_up(data)
    made = SignIn(data, clock)
    yield made
    made.close()


def attempt(signing, peer="192.0.2.7", passphrase=PASSPHRASE, code="000000"):
    return asyncio.run(signing.attempt(peer, passphrase, code))


# The factors.


def test_codes_are_those_of_rfc_6238():
    """Appendix B, SHA-1, the last six digits."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    times = {59: "287082", 1111111109: "081804", 1234567890: "005924", 20000000000: "353130"}
    for now_s, code in times.items():
        assert factors.code_of(secret, now_s // factors.STEP_S) == code


def test_a_code_is_good_for_a_step_and_those_beside_it(data, clock):
    set_up(data)
    found = factors.load(data)
    for steps in (-1, 0, 1):
        assert found.step_of(clock.code(steps), NOW_S) == STEP + steps
    for wrong in (
        clock.code(-2),
        clock.code(2),
        "",
        "12345",
        "1234567",
        "１２３４５６",
        "abcdef",
    ):
        assert found.step_of(wrong, NOW_S) is None
    assert found.step_of(f" {clock.code()}", NOW_S) is None


def test_the_file_is_its_owners_alone_and_holds_no_passphrase(data):
    set_up(data)
    path = factors.path_in(data)
    content = path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert PASSPHRASE not in content and "$argon2id$" in content
    assert PASSPHRASE not in repr(factors.load(data)) and SECRET not in repr(factors.load(data))
    first, second = (factors.make(PASSPHRASE, SECRET, 0, NOW_S, CHEAP) for _ in range(2))
    assert first.passphrase_hash != second.passphrase_hash, "a salt of its own"
    assert "m=65536,t=3,p=1" in factors.make(PASSPHRASE, SECRET, 0, NOW_S).passphrase_hash


def test_an_accent_may_be_typed_in_two_ways(data):
    made = factors.make("fünf wörter für die tür", SECRET, 0, NOW_S, CHEAP)
    assert made.has_passphrase("fu\u0308nf wo\u0308rter fu\u0308r die tu\u0308r")
    assert not made.has_passphrase("funf worter fur die tur")


@pytest.mark.parametrize(
    "passphrase",
    [
        *("", "elevenchars", "x" * 257, "aaaaaaaaaaaa", "123456789012", "abcabcabcabc"),
        *("passwordpassword", "Earnest-Receiver", "qwertyuiop12", "tram oven\nlilac seven"),
    ],
)
def test_what_is_guessed_first_is_no_passphrase(passphrase):
    assert factors.weakness(passphrase)


@pytest.mark.parametrize(
    "passphrase", [PASSPHRASE, "Kj8#mWq2!xLp", "сорок два трамвая", "y7" * 128]
)
def test_what_is_long_and_varied_is(passphrase):
    assert (factors.weakness(passphrase) is None) == (len(set(passphrase)) > 5)


@pytest.mark.parametrize(
    "change",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        {"version": 2},
        {"secret": 1},
        {"secret": "!"},
        {"since_s": "x"},
        {"confirmed_step": None},
    ],
)
def test_a_damaged_file_lets_nobody_in(data, clock, change):
    set_up(data)
    path = factors.path_in(data)
    if isinstance(change, dict):
        change = json.dumps({**json.loads(path.read_text()), **change}).encode()
    path.write_bytes(change)
    signing = SignIn(data, clock)
    with pytest.raises(HostToolError, match="sign-in.json"):
        attempt(signing, code=clock.code())
    signing.close()


# The sign-in.


def test_both_factors_let_in_and_neither_does_alone(signing, clock):
    assert attempt(signing, code=clock.code()) == (Outcome.RIGHT, 0.0)
    clock.now_s += factors.STEP_S
    for passphrase, given in (
        (PASSPHRASE, "000000"),
        (PASSPHRASE, ""),
        ("tram oven lilac eight", clock.code()),
        ("", clock.code()),
    ):
        assert attempt(signing, passphrase=passphrase, code=given) == (Outcome.WRONG, 0.0)
    assert attempt(signing, code=clock.code()) == (Outcome.RIGHT, 0.0)


def test_a_code_counts_once_also_after_a_restart_and_an_older_one_never_after_it(
    data, signing, clock
):
    assert attempt(signing, code=clock.code(1))[0] is Outcome.RIGHT
    for steps in (1, 0, -1):
        assert attempt(signing, code=clock.code(steps))[0] is Outcome.WRONG, steps
    again = SignIn(data, clock)
    assert attempt(again, code=clock.code(1))[0] is Outcome.WRONG
    clock.now_s += 2 * factors.STEP_S
    assert attempt(again, code=clock.code())[0] is Outcome.RIGHT
    again.close()


def test_the_code_of_the_set_up_is_used(data, clock):
    set_up(data, step=STEP)
    signing = SignIn(data, clock)
    assert attempt(signing, code=clock.code())[0] is Outcome.WRONG
    assert attempt(signing, code=clock.code(1))[0] is Outcome.RIGHT
    signing.close()


def test_of_two_sign_ins_at_once_with_one_code_one_counts(signing, clock):
    async def both():
        tries = (signing.attempt("192.0.2.7", PASSPHRASE, clock.code()) for _ in range(3))
        return await asyncio.gather(*tries)

    outcomes = [outcome for outcome, _ in asyncio.run(both())]
    assert sorted(outcome.value for outcome in outcomes) == ["right", "wrong", "wrong"]


def test_without_a_set_up_nobody_comes_in(data, clock):
    data.mkdir()
    signing = SignIn(data, clock)
    assert attempt(signing, code=clock.code())[0] is Outcome.NOT_SET_UP
    signing.close()


def test_both_are_checked_whatever_is_wrong(signing, clock, monkeypatch):
    """So no answer is faster than another: the slow one, and the code."""
    seen = []
    hash, step_of = factors.Factors.has_passphrase, factors.Factors.step_of

    def has_passphrase(self, passphrase):
        seen.append("passphrase")
        return hash(self, passphrase)

    def counted(self, code, now_s):
        seen.append("code")
        return step_of(self, code, now_s)

    monkeypatch.setattr(factors.Factors, "has_passphrase", has_passphrase)
    monkeypatch.setattr(factors.Factors, "step_of", counted)
    answers = [
        attempt(signing, passphrase="wrong", code=clock.code()),
        attempt(signing, code="999999"),
        attempt(signing, code=""),
        attempt(signing, passphrase="x" * 100_000, code="x" * 1000),
    ]
    assert answers == 4 * [(Outcome.WRONG, 0.0)] and seen == 4 * ["passphrase", "code"]


def test_hashing_one_after_the_other_does_not_hold_up_the_loop(data, clock, monkeypatch):
    set_up(data)
    signing = SignIn(data, clock)
    running, most = [], []

    def slow(self, passphrase):
        running.append(1)
        most.append(len(running))
        time.sleep(0.05)
        running.pop()
        return False

    monkeypatch.setattr(factors.Factors, "has_passphrase", slow)

    async def flood():
        tries = [
            asyncio.create_task(signing.attempt(f"192.0.2.{n}", "x", "y"))
            for n in range(MAX_WAITING + 3)
        ]
        gaps, last_s = [], time.monotonic()
        while not all(each.done() for each in tries):
            await asyncio.sleep(0.001)
            gaps.append(time.monotonic() - last_s)
            last_s = time.monotonic()
        return [each.result()[0] for each in tries], gaps

    outcomes, gaps = asyncio.run(flood())
    assert outcomes == MAX_WAITING * [Outcome.WRONG] + 3 * [Outcome.BUSY]
    assert max(most) == 1 and len(gaps) > 20
    signing.close()


# Guessing.


def guess(signing, clock, seconds, peers=("203.0.113.5",)):
    """How many wrong tries are looked at while somebody tries without end."""
    looked, until_s = 0, clock() + seconds

    async def run():
        nonlocal looked
        while clock() < until_s:
            waits = []
            for peer in peers:
                outcome, wait_s = await signing.attempt(peer, "wrong", "000000")
                looked += outcome is Outcome.WRONG
                waits.append(wait_s)
            if all(waits):
                clock.now_s += max(1.0, min(waits))

    asyncio.run(run())
    return looked


def test_guessing_from_one_address_gets_slower_up_to_four_an_hour(signing, clock):
    assert guess(signing, clock, 1) == ONE.free
    guess(signing, clock, 3600)
    assert guess(signing, clock, 6 * 3600.0) <= 6 * 3600.0 / ONE.most_s + 1


def test_guessing_from_many_addresses_gets_slower_up_to_twelve_an_hour(signing, clock):
    peers = [f"203.0.113.{n}" for n in range(25)]
    assert guess(signing, clock, 1, peers) == STRANGERS.free
    guess(signing, clock, 3600, peers)
    assert guess(signing, clock, 6 * 3600.0, peers) <= 6 * 3600.0 / STRANGERS.most_s + 1


def test_addresses_of_one_ipv6_network_count_as_one(signing, clock):
    for n in range(1, ONE.free + 1):
        assert attempt(signing, f"2001:db8::{n:x}")[0] is Outcome.WRONG
    assert attempt(signing, "2001:db8::dead")[0] is Outcome.LOCKED
    assert attempt(signing, "2001:db8:0:1::1")[0] is Outcome.WRONG
    assert attempt(signing, "::ffff:192.0.2.9")[0] is Outcome.WRONG


def test_who_signed_in_before_is_not_kept_out_by_strangers(signing, clock):
    assert attempt(signing, "192.0.2.7", code=clock.code())[0] is Outcome.RIGHT
    strangers = [f"203.0.113.{n}" for n in range(40)]
    guess(signing, clock, 7200, strangers)
    attempt(signing, "203.0.113.200")
    outcome, wait_s = attempt(signing, "198.51.100.1", code=clock.code())
    assert outcome is Outcome.LOCKED and 0 < wait_s <= STRANGERS.most_s
    assert attempt(signing, "192.0.2.7", code=clock.code())[0] is Outcome.RIGHT
    clock.now_s += lockout.KNOWN_S + 3600
    guess(signing, clock, 60, strangers)
    attempt(signing, "203.0.113.200")
    assert attempt(signing, "192.0.2.7", code=clock.code())[0] is Outcome.LOCKED


def test_a_lock_out_heals_and_being_refused_does_not_prolong_it(signing, clock):
    guess(signing, clock, 7200)
    assert attempt(signing, "203.0.113.5")[0] is Outcome.WRONG
    _, wait_s = attempt(signing, "203.0.113.5")
    for _ in range(50):
        assert attempt(signing, "203.0.113.5", code=clock.code())[0] is Outcome.LOCKED
    clock.now_s += wait_s
    assert attempt(signing, "203.0.113.5", code=clock.code()) == (Outcome.RIGHT, 0.0)
    clock.now_s += factors.STEP_S
    assert [attempt(signing, "203.0.113.5")[0] for _ in range(ONE.free)] == ONE.free * [
        Outcome.WRONG
    ]


def test_tries_at_the_same_time_are_all_counted(signing, clock):
    async def many():
        tries = (signing.attempt("203.0.113.5", "wrong", "0") for _ in range(4))
        first = await asyncio.gather(*tries)
        tries = (signing.attempt("203.0.113.5", "wrong", "0") for _ in range(4))
        return [outcome for outcome, _ in (*first, *await asyncio.gather(*tries))]

    assert asyncio.run(many()) == 5 * [Outcome.WRONG] + 3 * [Outcome.LOCKED]


def test_a_restart_forgets_no_guess(data, signing, clock):
    for _ in range(ONE.free + 3):
        attempt(signing, "203.0.113.5")
        clock.now_s += 60
    attempt(signing, "203.0.113.5")
    _, wait_s = attempt(signing, "203.0.113.5")
    again = SignIn(data, clock)
    assert wait_s > 0 and attempt(again, "203.0.113.5") == (Outcome.LOCKED, wait_s)
    again.close()


def test_a_try_is_counted_on_the_disk_before_it_is_checked(data, signing, monkeypatch):
    path = data / "page" / sign_in.STATE_FILE

    def killed(self, passphrase):
        assert json.loads(path.read_text())["networks"] == {"203.0.113.5": [1, NOW_S]}
        raise KeyboardInterrupt

    monkeypatch.setattr(factors.Factors, "has_passphrase", killed)
    with pytest.raises(KeyboardInterrupt):
        attempt(signing, "203.0.113.5")
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"networks": 1}', b"\xff"])
def test_damaged_counts_make_everybody_wait_and_heal(data, clock, content):
    set_up(data)
    path = data / "page" / sign_in.STATE_FILE
    path.parent.mkdir()
    path.write_bytes(content)
    signing = SignIn(data, clock)
    assert attempt(signing, code=clock.code()) == (Outcome.LOCKED, STRANGERS.most_s)
    clock.now_s += STRANGERS.most_s
    assert attempt(signing, code=clock.code())[0] is Outcome.RIGHT
    signing.close()


def test_a_clock_that_was_set_back_locks_nobody_out_for_ever(signing, clock):
    guess(signing, clock, 3600)
    clock.now_s -= 1e8
    outcome, wait_s = attempt(signing, "203.0.113.5")
    assert outcome is Outcome.LOCKED and wait_s <= ONE.most_s
    clock.now_s += wait_s
    assert attempt(signing, "203.0.113.5")[0] is Outcome.WRONG


def test_counts_are_bounded_and_strangers_cannot_push_one_another_out():
    counts = Lockout()
    for n in range(2000):
        counts.begin(f"198.51.{n // 250}.{n % 250}", 1e9)
    assert len(counts.to_facts()["networks"]) == STRANGERS.free
    for n in range(2000):
        counts.begin(f"198.51.{n // 250}.{n % 250}", 1e9 + 301.0 * n)
    assert len(counts.to_facts()["networks"]) == lockout.MAX_NETWORKS
    for n in range(100):
        counts.succeeded(f"192.0.2.{n}", 2e9)
    assert len(counts.to_facts()["known"]) == lockout.MAX_KNOWN
