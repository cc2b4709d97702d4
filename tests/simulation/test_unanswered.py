"""A wake word that no receiver answers: the person is told, and the device connects anew."""

from host_tools.board.definition import load_board
from tests.fakes.simulated import records, silence, simulate, sound, wake_and_command

NEVER = [(0, "receiver-consents", False)]


def command():
    return sound(wake_and_command(), silence(3.0))


def test_it_is_told_by_a_chime_and_then_it_listens_again(tmp_path):
    result = simulate(tmp_path, command(), NEVER)
    (end,) = records(result, "stream-end")
    assert end["reason"] == "no-consent" and end["bytes"] == 0
    (once,) = result.spoken
    (spoken,) = records(result, "speak-end")
    assert once.what == spoken["what"] == "error" and spoken["duration_ms"] == 480
    # At once, with the microphone off meanwhile.
    (ended,) = [event for event in result.of("state") if event["reason"] == "no-consent"]
    assert once.start_ms - ended["t_ms"] <= 50, (once, ended)
    assert [event["on"] for event in result.of("mic")] == [True, False, True]
    kinds = [event["type"] for event in result.of("message")]
    assert kinds.count("ping") >= 2, "the connection was made anew"
    assert "played" not in kinds, "nobody asked for it"


def test_a_board_without_a_loudspeaker_flickers_and_goes_on_listening(tmp_path):
    result = simulate(tmp_path, command(), NEVER, board=load_board("ESPRESSIF_S3_EYE"))
    (end,) = records(result, "stream-end")
    assert end["reason"] == "no-consent" and not result.spoken
    assert [event["on"] for event in result.of("mic")] == [True]
    assert result.of("light")[-1]["state"] == "IDLE"
