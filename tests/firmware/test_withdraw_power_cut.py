"""The power is cut at every write while consent is withdrawn, and at every write afterwards.

As in test_power_cut: the real App on MicroPython's LittleFS, in RAM, mounted again after each cut.
"""

import asyncio

import main
from drivers.storage import Files
from satellite.config import Config
from satellite.consent import FILE as CONSENT_FILE
from satellite.withdrawn_state import CONTENT, FILE
from test_power_cut import ROOT, Drivers, Kinds, every_cut, fresh, log_bytes, steps, with_flash

HEAP_BYTES = 4194304
GIVEN = Config({"keep_recordings": True, "share_for_training": True})
ID = "00000000000000aa"


def build():
    """As after a start: the configuration still says that recordings may be kept."""
    drivers = Drivers()
    return drivers, main.build(drivers, GIVEN, [], Kinds)


def run(trial, after, is_torn, act):
    """Boot, and cut the power `after` so many writes within `act(drivers, app)`."""
    drivers, app = build()

    async def go():
        app.boot()
        await steps(app, 3)
        trial.cut(after, is_torn)
        await act(drivers, app)

    try:
        asyncio.run(go())
    except OSError:
        pass
    return app


def start():
    """(whether anything may be kept, whether a withdrawal is due) at the next start"""
    _, app = build()
    app.boot()
    config = app.parts.config
    is_allowed = config.keep_recordings or config.share_for_training
    return is_allowed, app.parts.streamer.withdrawal is not None


def granted():
    """A flash on which a stream was sent that the receiver may keep."""
    flash = fresh(False)

    def use():
        _, app = build()
        app.boot()
        app.parts.consent.use()

    with_flash(flash, use)
    return flash


def test_what_was_confirmed_holds_and_is_in_the_log_and_due_until_deleted():
    async def withdraw(drivers, app):
        app.remote_withdraw(ID)
        await steps(app, 3)

    def ask(trial, after, is_torn):
        app = run(trial, after, is_torn, withdraw)
        answer = app.parts.streamer.withdrawal
        return app.parts.config.keep_recordings, answer is not None and answer.get("id") == ID

    cuts = 0
    seen = set()
    for (is_kept, is_confirmed), trial, was_cut in every_cut(granted(), ask):
        cuts += was_cut
        is_allowed, is_due = with_flash(trial, start)
        log = with_flash(trial, log_bytes)
        seen.add((is_allowed, is_confirmed))
        assert not is_kept, "in RAM it holds at once"
        assert is_due is not is_allowed
        if is_confirmed:
            assert not is_allowed and b'"source":"network"' in log, cuts
        assert was_cut or is_confirmed
    assert cuts > 20 and seen == {(True, False), (False, False), (False, True)}, (cuts, seen)


def test_nothing_that_is_written_later_brings_it_back():
    """Not a confirmed deletion, its record, nor a configuration that says otherwise."""
    flash = granted()

    def withdrawn():
        _, app = build()
        app.boot()
        app.remote_withdraw(ID)

    with_flash(flash, withdrawn)

    async def live(drivers, app):
        app.deleted(2)
        app.remote_withdraw(ID)
        Files(ROOT).write_atomic("config.json", GIVEN.to_json().encode())

    cuts = 0
    for _, trial, was_cut in every_cut(flash, lambda *cut: run(*cut, live)):
        cuts += was_cut
        is_allowed, _ = with_flash(trial, start)
        assert not is_allowed, cuts
        assert with_flash(trial, lambda: Files(ROOT).read(FILE, 99)) == CONTENT, cuts
    assert cuts > 40, cuts
    assert with_flash(trial, lambda: Files(ROOT).read(CONSENT_FILE, 99)) is None
