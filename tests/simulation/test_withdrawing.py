"""The whole device, when the network takes consent back: stream, log, and the next start."""

from tests.fakes.simulated import records, simulate, sound, wake_and_command

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
