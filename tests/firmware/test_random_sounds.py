"""Some thousands of random events around the application; a million are in tests/long."""

from random_sounds import play
from satellite.speaking import Speaking
from satellite.speech import Speech

EVENTS = 4000


def test_no_sound_out_of_turn_and_no_microphone_while_it_speaks():
    for seed in (1, 2):
        sounds, chunks, closed = play(seed, EVENTS)
        print("figure: %d events, %d sounds, %d chunks heard" % (EVENTS, sounds, chunks))
        assert sounds > 20 and chunks > 500 and closed > 50, (sounds, chunks, closed)


def test_it_would_be_seen():
    """Each of these breaks one line; a run that goes on to its end would prove nothing."""

    def rest_no_microphone(self):
        return True

    def stay_on(self, reason=None):
        self._speech.stop(reason or "mute")

    from satellite.app import App

    for owner, name, broken in (
        (App, "rest_microphone", rest_no_microphone),
        (Speech, "_is_open", property(lambda self: self.state != 0)),
        (Speaking, "silence", stay_on),
    ):
        kept = getattr(owner, name) if name != "_is_open" else None
        original = owner.__dict__[name] if hasattr(owner, "__dict__") else kept
        setattr(owner, name, broken)
        try:
            play(1, EVENTS)
        except AssertionError:
            continue
        finally:
            setattr(owner, name, original)
        raise AssertionError(name)
