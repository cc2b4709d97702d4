"""The whole device, when the network takes consent back: stream, log, and the next start."""

import json
import re
import urllib.request

from host_tools.receiver.owner_withdrawals import OwnerWithdrawals
from host_tools.receiver.receiver_log import FOLDER, LOG_NAME
from tests.fakes.receivers import audio_files, earnest, receiving
from tests.fakes.simulated import records, silence, simulate, sound, wake_and_command

GIVEN = {"keep_recordings": True, "share_for_training": True}
NOTHING = {"keep_recordings": False, "share_for_training": False}


def test_the_network_takes_consent_back_in_a_stream_and_no_restart_gives_it_again(tmp_path):
    """The configuration says "may be kept" all along, as an old back-up of it would."""
    samples = sound(wake_and_command(), wake_and_command())
    script = [(3000, "request", "consent-withdraw"), (6400, "power-loss", 50)]
    result = simulate(tmp_path, samples, script, config=GIVEN)
    first, second = result.streams.all
    assert first.reason == "receiver" and first.end_ms <= 3020
    opened = [event for event in result.of("message") if event["type"] == "consent"]
    assert len(opened) == 2
    starts = [
        {name: record[name] for name in NOTHING} for record in records(result, "stream-start")
    ]
    assert starts == [GIVEN, NOTHING]
    said = [(record["what"], record.get("source")) for record in records(result, "consent")]
    assert said == [("withdrawn", "network"), ("deleted", None)], said
    boots = [{name: record[name] for name in NOTHING} for record in records(result, "boot")]
    assert boots == [GIVEN, NOTHING]


def press_withdraw(receiver, data):
    """As a browser without script does: the link of `earnest companion`, the question, its form.

    The page that comes back, as soon as it is there.
    """
    receiver.wait("page")
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    link = earnest(data, "companion", "--no-browser").stdout.strip()
    address = link.partition("/enter")[0]
    opener.open(link, timeout=20).close()
    # The cookie is for this site's own requests, and a link of somebody else's is none.
    page = opener.open(address, timeout=20).read().decode()
    ask = re.search('action="(/devices/[^/]+/withdraw)"', page)[1]
    question = opener.open(address + ask, timeout=20).read().decode()
    csrf = re.search('name="csrf" value="([^"]+)"', question)[1]
    form = urllib.request.Request(
        address + ask, data=f"csrf={csrf}".encode(), headers={"Origin": address}
    )
    return opener.open(form, timeout=20).read().decode()


def test_a_real_device_takes_back_what_its_owner_withdrew_on_the_page_of_a_real_receiver(
    tmp_path, monkeypatch
):
    """Real firmware and real receivers over TLS: recorded, withdrawn while the device is away, the
    receiver killed at once, and carried out when the device comes to the next one."""
    from host_tools.simulation import loopback

    data, disk = tmp_path / "data", tmp_path / "disk"

    class Lasting(loopback.LoopbackReceiver):
        def __init__(self, _, *options):
            super().__init__(data, *options)

    monkeypatch.setattr(loopback, "LoopbackReceiver", Lasting)
    often = {"with_receiver": True, "storage": disk, "config": GIVEN}
    simulate(tmp_path, wake_and_command(), **often)
    assert len(audio_files(data)) == 1
    with receiving(data, "--page-port", 0) as receiver:
        page = press_withdraw(receiver, data)
        receiver.process.kill()
        receiver.process.wait()
    assert "it is away, and is asked when it comes" in page
    [asked] = OwnerWithdrawals(data).all()
    assert asked.is_pending and len(audio_files(data)) == 1

    # A network that takes its time: sound does not run away from a receiver that asks by itself.
    samples = sound(silence(6), wake_and_command())
    result = simulate(tmp_path, samples, [(0, "network-delay-ms", 10)], **often)
    said = [(record["what"], record.get("source")) for record in records(result, "consent")]
    assert said == [("withdrawn", "network"), ("deleted", None)], said
    assert records(result, "consent")[1]["recordings"] == 1
    [start] = records(result, "stream-start")
    assert {name: start[name] for name in NOTHING} == NOTHING
    [done] = OwnerWithdrawals(data).all()
    assert done.request == asked.request and (done.deleted, done.is_complete) == (1, True)
    assert not done.is_pending and audio_files(data) == []
    kinds = [
        (record["kind"], record.get("source"))
        for record in map(json.loads, (data / FOLDER / LOG_NAME).read_text().splitlines())
        if record["kind"] != "sign-in"
    ]
    assert kinds == [
        ("withdraw-asked", "page"),
        ("withdraw", None),
        ("delete", "device"),
        ("deleted", None),
    ]
