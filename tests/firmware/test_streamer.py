"""The streamer on a network that is slow, silent, gone: nothing late, nothing for ever, no growth.

The peer is in memory and speaks the protocol; time is the test's own.
"""

import asyncio

import micropython
from drivers.backoff import MAX_MS, BackOff
from satellite import protocol
from satellite.counters import Counters
from satellite.gate import (
    IDLE,
    LATE,
    MUTED,
    NETWORK,
    NO_CONSENT,
    NO_SPEECH,
    RECEIVER,
    STREAMING,
    Gate,
)
from satellite.incoming import MAX_BURST_BYTES, MAX_BYTES_PER_S, MAX_IGNORED
from satellite.streamer import (
    ANCHOR_MS,
    ANSWER_MS,
    HANDSHAKE_MS,
    KEEP_ALIVE_MS,
    READ_BYTES,
    STUCK_MS,
    Streamer,
)


class Peer:
    """Reader and writer of the streamer; keeps what was written as events."""

    def __init__(self, answers=True):
        self.events = []
        self.answers = answers
        self.is_stuck = False
        self.is_closed = False
        self._decoder = protocol.Decoder(protocol.MAX_CHUNK_BYTES)
        self._waiting = []

    async def read(self, count):
        while not self._waiting:
            if self.is_closed:
                return b""
            await asyncio.sleep(0)
        return self._waiting.pop(0)

    def say(self, kind, data=None):
        self._waiting.append(protocol.encode(kind, data))

    def take(self, data):
        """Bytes for the device, in pieces as it reads them."""
        self._waiting += [data[at : at + READ_BYTES] for at in range(0, len(data), READ_BYTES)]

    def write(self, data):
        for event in self._decoder.feed(bytes(data)):
            self.events.append(event)
            if self.answers and event.type == protocol.PING:
                self.say(protocol.PONG)
            if self.answers and event.type == protocol.CONSENT:
                self.say(protocol.CONSENT_ACCEPTED, {"stream": event.data["stream"]})

    @property
    def out_buf(self):
        return self.is_stuck

    async def drain(self):
        await asyncio.sleep(0)
        while self.is_stuck:
            await asyncio.sleep(0)

    def close(self):
        self.is_closed = True

    async def wait_closed(self):
        pass

    def kinds(self):
        return [event.type for event in self.events]


class Bench:
    def __init__(self, peers, **settings):
        self.now = 0
        self.peers = list(peers)
        self.attempts = []
        self.gate = Gate(buffer_ms=90, hold_ms=10, **settings)
        self.gate.ready(False)
        self.diagnostics = Counters()
        consent = {"keep_recordings": True, "share_for_training": False, "preroll_ms": 0}
        self.streamer = Streamer(
            self.connect, self.gate, self, consent, self.diagnostics, lambda: 500, BackOff()
        )
        self.streamer.owner = self
        self.refused = []
        self.mutes = 0
        self.raises = []
        self.deletions = []
        self.withdraws = []
        self.sent_bytes = 0

    async def connect(self):
        self.attempts.append(self.now)
        peer = self.peers.pop(0) if self.peers else None
        if peer is None:
            raise OSError("nobody there")
        return peer, peer

    def now_ms(self):
        return self.now

    def wake(self, stream_id):
        """Hear the wake word, and at once somebody who speaks."""
        self.gate.wake(stream_id)
        self.gate.speech()

    def remote_mute(self):
        self.mutes += 1

    def remote_refused(self, what):
        self.refused.append(what)

    def remote_sensitivity(self, word, thousandths):
        self.raises.append((word, thousandths))
        return thousandths > 900

    def remote_withdraw(self, id):
        self.withdraws.append(id)

    def first_byte(self):
        pass

    def connection(self, up):
        pass

    def deleted(self, count):
        self.deletions.append(count)

    def sent(self, size):
        self.sent_bytes += size

    def play(self, *steps):
        """Each step is a number of 10 ms turns, or a function to call."""

        async def run():
            task = asyncio.create_task(self.streamer.run())
            await self.turns(3)
            for step in steps:
                if callable(step):
                    step()
                else:
                    await self.turns(step)
            assert not task.done(), "the streamer has ended"
            task.cancel()

        asyncio.run(run())

    async def turns(self, count):
        for _ in range(count):
            self.now += 10
            self.gate.hear(bytes(320))
            self.streamer.notify(self.now)
            for _ in range(8):
                await asyncio.sleep(0)


def test_a_stream_in_the_order_of_the_protocol():
    peer = Peer()
    bench = Bench([peer])
    bench.play(5, lambda: bench.wake(9), 6, lambda: bench.gate.close_input(0), 5)
    kinds = peer.kinds()
    first = kinds.index("consent")
    assert kinds[first : first + 3] == ["consent", "audio-start", "audio-chunk"], kinds
    assert kinds[-2:] == ["audio-stop", "ping"] and "audio-chunk" not in kinds[:first]
    consent = peer.events[first].data
    assert consent["stream"] == "0000000000000009" and consent["keep_recordings"] is True
    assert consent["share_for_training"] is False and consent["preroll_ms"] == 0
    assert bench.gate.state == IDLE and bench.sent_bytes == 320 * kinds.count("audio-chunk")
    assert all(len(e.payload) == 320 for e in peer.events if e.type == "audio-chunk")


def test_nothing_is_said_of_a_stream_before_somebody_speaks():
    peer = Peer()
    bench = Bench([peer], no_speech_ms=200)
    bench.streamer.log = log = Log()

    def wake():
        bench.gate.wake(9)
        log.grow()  # the wake word

    def look():
        assert bench.gate.state == STREAMING and bench.gate.is_held
        assert peer.kinds() == ["ping"], peer.kinds()

    bench.play(5, wake, 15, look, 10)
    assert bench.gate.state == IDLE and bench.gate.last_reason == NO_SPEECH
    assert peer.kinds() == ["ping", "audit-head"] and bench.sent_bytes == 0


def test_a_stuck_network_ends_the_stream_and_stops_nothing_else():
    peer = Peer()
    bench = Bench([peer])

    def stick():
        peer.is_stuck = True

    bench.play(5, lambda: bench.wake(9), 4, stick, 30)
    assert bench.gate.state == IDLE and bench.gate.last_reason == LATE
    assert bench.gate.dropped_chunks >= 10 and len(bench.streamer._outgoing) == 0
    # what was dropped is never sent later
    chunks = peer.kinds().count("audio-chunk")
    bench = Bench([peer])
    assert chunks < 8


def test_mute_while_the_network_is_stuck_sends_nothing_more():
    peer = Peer()
    bench = Bench([peer])
    seen = []

    def stick():
        peer.is_stuck = True

    def mute():
        bench.gate.mute()
        seen.append(peer.kinds().count("audio-chunk"))

    def free():
        peer.is_stuck = False

    bench.play(5, lambda: bench.wake(9), 4, stick, 3, mute, 3, free, 5)
    assert bench.gate.state == MUTED
    assert peer.kinds().count("audio-chunk") == seen[0]


def test_a_lost_connection_ends_the_stream_and_is_made_again():
    first, second = Peer(), Peer()
    bench = Bench([first, second])
    bench.play(5, lambda: bench.wake(9), 4, first.close, 200)
    assert bench.gate.state == IDLE and bench.gate.last_reason == NETWORK
    assert bench.streamer.is_connected and second.kinds() == ["ping"]


def test_the_pauses_between_attempts_grow_to_a_minute():
    bench = Bench([])
    bench.play(40000)
    gaps = [b - a for a, b in zip(bench.attempts, bench.attempts[1:])]
    assert gaps[0] <= 1000 and max(gaps) <= MAX_MS, gaps
    assert all(later >= earlier for earlier, later in zip(gaps, gaps[1:])), gaps
    assert 8 <= len(bench.attempts) <= 20 and bench.diagnostics.snapshot()["reconnects"] >= 8


def test_a_receiver_that_answers_no_ping_is_given_up():
    silent, second = Peer(answers=False), Peer()
    bench = Bench([silent, second])
    bench.play((ANSWER_MS + 2000) // 10)
    assert silent.is_closed and bench.streamer.is_connected
    assert silent.kinds() == ["ping"]


def test_a_connection_that_falls_silent_while_idle_is_given_up_at_its_next_ping():
    first, second = Peer(), Peer()
    bench = Bench([first, second])

    def fall_silent():
        first.answers = False

    bench.play(5, fall_silent, (KEEP_ALIVE_MS + ANSWER_MS) // 10 + 5)
    assert first.is_closed and bench.streamer.is_connected
    assert first.kinds() == ["ping", "ping"]


def test_a_consent_without_an_answer_ends_the_connection_and_the_next_stream_works():
    first, second = Peer(), Peer()
    bench = Bench([first, second], consent_ms=100)

    def fall_silent():
        first.answers = False

    steps = (lambda: bench.wake(9), 12)
    bench.play(5, fall_silent, *steps, 3, lambda: bench.wake(10), 4)
    assert first.is_closed and bench.gate.last_reason == NO_CONSENT
    assert "audio-chunk" not in first.kinds() and "audio-chunk" in second.kinds()
    # at once, without the pause that follows other failures
    assert bench.attempts[1] - bench.attempts[0] <= 300, bench.attempts


def test_a_stream_that_nobody_took_note_of_is_noticed_after_its_end():
    first, second = Peer(), Peer()
    bench = Bench([first, second])

    def fall_silent():
        first.answers = False

    end = lambda: bench.gate.close_input(0)  # noqa: E731
    bench.play(5, lambda: bench.wake(9), 4, fall_silent, 2, end, ANSWER_MS // 10 + 5)
    assert first.kinds()[-2:] == ["audio-stop", "ping"], first.kinds()
    assert first.is_closed and bench.streamer.is_connected


def test_a_mute_before_the_consent_was_acknowledged_is_no_dead_connection():
    peer = Peer()
    bench = Bench([peer], consent_ms=100)

    def fall_silent():
        peer.answers = False

    bench.play(5, fall_silent, lambda: bench.wake(9), 4, bench.gate.mute, 20)
    assert not peer.is_closed and len(bench.attempts) == 1


def test_a_receiver_that_hangs_up_at_once_each_time_is_asked_less_and_less():
    peers = [Peer() for _ in range(12)]
    bench = Bench(peers)
    for peer in peers:
        write = peer.write

        def hang_up(data, peer=peer, write=write):
            write(data)
            peer.is_closed = True

        peer.write = hang_up
    bench.play(12000)  # two minutes
    gaps = [b - a for a, b in zip(bench.attempts, bench.attempts[1:])]
    assert len(bench.attempts) < 10 and gaps[-1] > 20000, gaps


def test_a_sign_of_life_each_30_s_and_nothing_else():
    peer = Peer()
    bench = Bench([peer])
    bench.play(30000)  # five minutes
    assert set(peer.kinds()) == {"ping"} and len(peer.events) == 10 + 1, len(peer.events)


def test_pings_are_answered_but_not_without_bound():
    peer = Peer()
    bench = Bench([peer])

    def flood():
        for _ in range(100):
            peer.say(protocol.PING)

    bench.play(5, flood, 20)
    assert 1 <= peer.kinds().count("pong") <= 100
    assert len(bench.streamer._outgoing) <= 4 and not peer.is_closed


def test_messages_of_unknown_type_are_ignored_up_to_a_limit():
    for kind, reported in (("chatter", []), ("unmute", ["unmute"])):
        message = protocol.encode(kind)
        for count in (MAX_IGNORED, MAX_IGNORED + 1):
            peer = Peer()
            bench = Bench([peer])
            bench.play(5, lambda peer=peer, data=message * count: peer.take(data), 5)
            assert peer.is_closed == (count > MAX_IGNORED), (kind, count)
            want = reported * count + ["message"] * (count > MAX_IGNORED)
            assert bench.refused == want, (kind, len(bench.refused), len(want))


def test_a_flood_ends_the_connection_and_most_of_it_is_never_read():
    message = protocol.encode(protocol.PONG)
    burst = MAX_BURST_BYTES // len(message)
    peer = Peer()
    bench = Bench([peer])
    read = []
    take = bench.streamer._handle
    bench.streamer._handle = lambda event: (read.append(event), take(event))

    def check():
        assert not peer.is_closed and len(read) > burst - 22, len(read)
        peer.take(message * 1000)

    bench.play(5, lambda: peer.take(message * (burst - 20)), 6, check, 6)
    assert peer.is_closed and bench.refused == ["message"]
    assert len(read) <= burst + 30, (len(read), burst)


def test_what_comes_slowly_enough_goes_on_for_ever():
    peer = Peer()
    bench = Bench([peer])
    message = protocol.encode(protocol.PONG)
    each = (lambda: peer.take(message), len(message) * 100 // MAX_BYTES_PER_S + 1)
    bench.play(5, *(each * (2 * MAX_BURST_BYTES // len(message))))
    assert not peer.is_closed and bench.refused == []


def test_a_withdrawal_is_sent_and_its_confirmation_told():
    peer = Peer()
    bench = Bench([peer])

    def withdraw():
        bench.streamer.withdrawal = {"keep_recordings": False, "share_for_training": False}

    bench.play(5, withdraw, 3, lambda: peer.say(protocol.DELETED, {"count": 3}), 3)
    assert peer.kinds().count("consent-withdrawn") == 1 and bench.deletions == [3]


def test_a_request_to_withdraw_is_passed_on_and_answered_each_time():
    peer = Peer()
    bench = Bench([peer])
    id = "00000000000000aa"

    def answer():
        bench.streamer.withdrawal = {
            "keep_recordings": False,
            "share_for_training": False,
            "id": bench.withdraws[-1],
        }

    for _ in range(2):
        bench.play(5, lambda: peer.say(protocol.CONSENT_WITHDRAW, {"id": id}), 3, answer, 3)
        bench.peers.append(peer)
    answers = [e.data["id"] for e in peer.events if e.type == protocol.CONSENT_WITHDRAWN]
    assert bench.withdraws == [id] * 2 and answers == [id] * 2 and bench.refused == []


def test_only_the_answer_to_the_last_withdrawal_counts_and_no_answer_is_one_too_many():
    peer = Peer()
    bench = Bench([peer])

    def withdraw():
        bench.streamer.withdrawal = {"keep_recordings": False, "share_for_training": False}

    def confirm():
        peer.say(protocol.DELETED, {"count": 1})

    bench.play(5, withdraw, 3, withdraw, 3, confirm, 3)
    assert bench.deletions == [] and bench.streamer.withdrawal is not None
    peer = Peer()
    bench = Bench([peer])
    bench.play(5, withdraw, 3, withdraw, 3, confirm, 3, confirm, 3)
    assert bench.deletions == [1] and bench.refused == []
    bench = Bench([peer])
    bench.play(5, withdraw, 3, confirm, 3, confirm, 3)
    assert bench.deletions == [1] and bench.refused == ["other"]


def test_what_was_forbidden_opens_no_stream_that_may_be_kept():
    peer = Peer()
    bench = Bench([peer])
    status = bench.streamer.status = Forbidden()
    bench.streamer.forbid("another configuration")
    bench.play(5, lambda: bench.wake(7), 5)
    (consent,) = [event.data for event in peer.events if event.type == protocol.CONSENT]
    assert consent["keep_recordings"] is False and consent["share_for_training"] is False
    assert status.configurations == ["another configuration"]


class Forbidden:
    """A status that is never due, and notes by which configuration it would be told."""

    is_due = False

    def __init__(self):
        self.configurations = []

    def configured(self, config):
        self.configurations.append(config)

    def connected(self):
        pass


def test_a_withdrawal_that_was_not_confirmed_is_sent_again_after_a_reconnect():
    first, second = Peer(), Peer()
    bench = Bench([first, second])

    def withdraw():
        bench.streamer.withdrawal = {"keep_recordings": False, "share_for_training": False}

    bench.play(5, withdraw, 3, first.close, 300)
    assert second.kinds().count("consent-withdrawn") == 1, second.kinds()


def test_no_stream_is_announced_before_the_receiver_was_reached():
    bench = Bench([Peer(answers=False)])
    bench.play(5)
    assert not bench.streamer.is_connected
    assert bench.gate.state != STREAMING


def test_a_write_that_is_stuck_ends_the_connection_and_what_waits_in_it():
    first, second = Peer(), Peer()
    bench = Bench([first, second])

    def stick():
        first.is_stuck = True

    bench.play(5, lambda: bench.wake(9), 4, stick, STUCK_MS // 10 - 20)
    assert not first.is_closed and bench.gate.last_reason == LATE
    first, second = Peer(), Peer()
    bench = Bench([first, second])
    bench.play(5, lambda: bench.wake(9), 4, stick, STUCK_MS // 10 + 200)
    assert first.is_closed and bench.streamer.is_connected and second.kinds() == ["ping"]


def test_a_receiver_that_never_ends_the_handshake_is_given_up():
    dead, second = Peer(), Peer()
    dead.is_stuck = True
    bench = Bench([dead, second])
    bench.play(HANDSHAKE_MS // 10 - 20)
    assert not dead.is_closed
    dead, second = Peer(), Peer()
    dead.is_stuck = True
    bench = Bench([dead, second])
    bench.play(HANDSHAKE_MS // 10 + 200)
    assert dead.is_closed and bench.streamer.is_connected


def test_a_connection_that_ends_while_a_write_is_stuck_is_noticed_at_once():
    first, second = Peer(), Peer()
    bench = Bench([first, second])

    def cut():
        first.is_stuck = first.is_closed = True

    bench.play(5, lambda: bench.wake(9), 4, cut, 5)
    assert bench.gate.state == IDLE and bench.gate.last_reason == NETWORK
    assert not bench.streamer.is_connected


def test_the_network_mutes_in_every_state_and_is_told_once():
    for state in ("ready", "fault", "switch"):
        peer = Peer()
        bench = Bench([peer])

        def prepare(bench=bench, state=state):
            if state == "fault":
                bench.gate.fault()
            elif state == "switch":
                bench.gate.switch(True)

        def ask(peer=peer):
            for _ in range(50):
                peer.say(protocol.MUTE)

        bench.play(5, prepare, ask, 80)
        assert bench.gate.soft_muted and bench.mutes == 1, (state, bench.mutes)
        bench.gate.switch(False)
        assert not bench.gate.may_listen, state


def test_a_deletion_that_nobody_asked_for_is_refused():
    peer = Peer()
    bench = Bench([peer])

    def lie():
        for _ in range(20):
            peer.say(protocol.DELETED, {"count": 1})

    bench.play(5, lie, 40)
    assert bench.deletions == [] and bench.refused == ["other"] * 20


def test_no_sound_is_left_behind_in_the_message():
    peer = Peer()
    bench = Bench([peer])

    def say():
        bench.gate.hear(b"\xa5" * 320)

    def stick():
        peer.is_stuck = True

    bench.play(5, lambda: bench.wake(9), 4, stick, say, 2, bench.gate.mute, 2)
    sent = [event for event in peer.events if event.type == "audio-chunk"]
    assert any(any(event.payload) for event in sent)
    assert not any(bench.streamer._audio.payload)


def test_a_stop_is_for_the_stream_that_it_names():
    peer = Peer()
    bench = Bench([peer])

    def stop(stream):
        return lambda: peer.say(protocol.STOP, {"stream": "%016x" % stream})

    bench.play(5, lambda: bench.wake(9), 4, stop(8), 4)
    assert bench.gate.state == STREAMING
    peer = Peer()
    bench = Bench([peer])
    bench.play(5, lambda: bench.wake(9), 4, stop(9), 4)
    assert bench.gate.state == IDLE and bench.gate.last_reason == RECEIVER


def test_after_a_good_connection_the_pauses_begin_anew():
    good = Peer()
    bench = Bench([None] * 5 + [good])
    lost = []

    def lose():
        assert bench.streamer.is_connected
        lost.append(bench.now)
        good.close()

    bench.play(8000, lose, 1000)
    after = [at for at in bench.attempts if at > lost[0]]
    assert after[0] - lost[0] <= 1100, (after, lost)


def test_answers_of_one_connection_are_not_given_on_the_next():
    first, second = Peer(), Peer()
    bench = Bench([first, second])

    def cut():
        first.is_closed = True

    def ask():
        first.is_stuck = True
        for _ in range(4):
            first.say(protocol.PING)

    bench.play(5, lambda: bench.wake(9), 4, ask, 3, cut, 200)
    assert second.kinds() == ["ping"], second.kinds()


def test_a_confirmed_withdrawal_is_not_sent_again():
    first, second = Peer(), Peer()
    bench = Bench([first, second])

    def withdraw():
        bench.streamer.withdrawal = {"keep_recordings": False, "share_for_training": False}

    def confirm():
        first.say(protocol.DELETED, {"count": 1})
        first.say(protocol.DELETED, {"count": 1})

    bench.play(5, withdraw, 3, confirm, 3, first.close, 200)
    assert bench.deletions == [1] and second.kinds() == ["ping"], bench.deletions


def test_a_stream_after_one_that_was_cut_has_a_consent_of_its_own():
    peer = Peer()
    bench = Bench([peer])

    def stick():
        peer.is_stuck = True

    def again():
        bench.gate.abort(NETWORK)
        bench.wake(10)
        peer.is_stuck = False

    bench.play(5, lambda: bench.wake(9), 4, stick, 2, again, 5)
    streams = [event.data["stream"][-1] for event in peer.events if event.type == "consent"]
    assert streams == ["9", "a"], streams
    kinds = peer.kinds()
    second = len(kinds) - 1 - list(reversed(kinds)).index("consent")
    assert kinds[second - 2 : second] == ["audio-stop", "ping"], kinds
    assert kinds[second + 1 : second + 3] == ["audio-start", "audio-chunk"], kinds


def test_a_mute_while_a_stream_is_being_opened_sends_none_of_it():
    for kind in ("consent", "audio-start"):
        peer = Peer()
        bench = Bench([peer])
        write = peer.write

        def writing(data, peer=peer, write=write, kind=kind):
            write(data)
            if peer.events[-1].type == kind:
                peer.is_stuck = True

        def free(peer=peer):
            peer.is_stuck = False

        peer.write = writing
        bench.play(5, lambda bench=bench: bench.wake(9), 4, bench.gate.mute, 3, free, 5)
        assert kind in peer.kinds() and "audio-chunk" not in peer.kinds(), peer.kinds()


def test_a_withdrawal_waits_until_the_receiver_was_reached():
    peer = Peer(answers=False)
    bench = Bench([peer])
    bench.streamer.withdrawal = {"keep_recordings": False, "share_for_training": False}
    bench.play(10)
    assert peer.kinds() == ["ping"]


def test_the_consent_says_what_the_owner_set():
    for keep, share in ((False, False), (True, False), (True, True)):
        peer = Peer()
        bench = Bench([peer])
        wishes = {"keep_recordings": keep, "share_for_training": share, "preroll_ms": 30}
        bench.streamer._consent.update(wishes)
        bench.play(5, lambda bench=bench: bench.wake(9), 4)
        (consent,) = [event.data for event in peer.events if event.type == "consent"]
        wishes["stream"] = "%016x" % 9
        assert consent == wishes, consent


def test_a_message_that_breaks_the_protocol_is_refused_and_the_connection_with_it():
    first, second = Peer(), Peer()
    bench = Bench([first, second])
    bench.play(5, lambda: first._waiting.append(b"no JSON\n"), 200)
    assert bench.refused == ["message"] and first.is_closed and bench.streamer.is_connected


def test_a_deletion_counts_only_after_it_was_asked_for_on_this_connection():
    peer = Peer(answers=False)
    bench = Bench([peer])
    bench.streamer.withdrawal = {"keep_recordings": False, "share_for_training": False}
    bench.play(5, lambda: peer.say(protocol.DELETED, {"count": 1}), 5)
    assert bench.deletions == [] and bench.streamer.withdrawal is not None


def test_a_cancel_ends_the_streamer_whenever_it_comes():
    """Also while a connection is being ended, which waits for tasks that are cancelled too."""

    async def run(turns):
        peer = Peer()
        bench = Bench([peer])

        async def drain():  # a connection that takes its time to be given up
            try:
                while bench.now < 50:
                    await asyncio.sleep(0)
                await asyncio.sleep(10)
            finally:
                for _ in range(5):
                    await asyncio.sleep(0)

        peer.drain = drain
        task = asyncio.create_task(bench.streamer.run())
        await bench.turns(6)
        peer.is_closed = True
        bench.now += STUCK_MS + HANDSHAKE_MS + 10
        bench.streamer.notify(bench.now)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        for _ in range(40):
            await asyncio.sleep(0)
        assert task.done(), turns

    for turns in range(12):
        asyncio.run(run(turns))


class Log:
    def __init__(self):
        self.seq = -1
        self.hash = "0" * 64

    def grow(self):
        self.seq += 1
        self.hash = "%064x" % (self.seq + 0xABC)


def heads(peer):
    return [event.data["seq"] for event in peer.events if event.type == "audit-head"]


def test_the_newest_record_is_told_and_no_more_than_once_a_minute():
    peer = Peer()
    bench = Bench([peer])
    bench.streamer.log = log = Log()
    minute = ANCHOR_MS // 10

    def check():
        assert heads(peer) == [0], heads(peer)

    bench.play(10, log.grow, 3, check, log.grow, minute - 10, check, log.grow, 12, 2 * minute)
    assert heads(peer) == [0, 2], heads(peer)
    told = [event.data for event in peer.events if event.type == "audit-head"]
    assert told[1] == {"seq": 2, "hash": log.hash}


def test_a_new_connection_is_told_again_but_no_sooner():
    first, second = Peer(), Peer()
    bench = Bench([first, second])
    bench.streamer.log = log = Log()
    log.grow()
    bench.play(10, first.close, ANCHOR_MS // 10 - 20)
    assert heads(first) == [0] and heads(second) == []
    first, second = Peer(), Peer()
    bench = Bench([first, second])
    bench.streamer.log = log
    bench.play(10, first.close, ANCHOR_MS // 10 + 20)
    assert heads(first) == [0] and heads(second) == [0]


def test_the_log_is_not_told_of_within_a_stream_nor_before_the_receiver_answered():
    peer = Peer(answers=False)
    bench = Bench([peer])
    bench.streamer.log = log = Log()
    log.grow()
    bench.play(20)
    assert peer.kinds() == ["ping"]
    peer = Peer()
    bench = Bench([peer])
    bench.play(5, lambda: bench.wake(9), 3, lambda: setattr(bench.streamer, "log", log), 20)
    assert "audio-chunk" in peer.kinds() and heads(peer) == []


def sensitivity(thousandths):
    data = {"model": "alexa", "cutoff_thousandths": thousandths}
    return protocol.encode(protocol.SENSITIVITY, data)


def test_a_cutoff_is_passed_on_and_one_that_is_not_taken_is_refused():
    peer = Peer()
    bench = Bench([peer])
    data = sensitivity(901) + sensitivity(900)
    bench.play(5, lambda: peer.take(data), 5)
    assert bench.raises == [("alexa", 901), ("alexa", 900)]
    assert bench.refused == ["sensitivity"] and not peer.is_closed


def test_a_flood_of_refused_cutoffs_ends_the_connection():
    peer = Peer()
    bench = Bench([peer])
    data = sensitivity(100)

    def say():
        peer.take(data * 50)

    bench.play(5, say, 900, say, 900, say, 5)
    assert peer.is_closed and bench.refused == ["sensitivity"] * 101 + ["message"]


CHUNK = b"\x11\x22" * 160


def flowing():
    """A bench and its peer, whose stream has begun to flow; for `play`."""
    peer = Peer()
    bench = Bench([peer])
    return peer, bench, [5, lambda: bench.wake(9), 6]


def test_audio_that_flows_is_written_at_once_and_allocates_nothing():
    """No task has a turn meanwhile, and what was sent is not left behind."""
    peer, bench, steps = flowing()
    seen = []

    def hear():
        for count in (1, 1, 3):  # the last of them after a turn in which nobody looked
            before = peer.kinds().count("audio-chunk")
            for _ in range(count):
                bench.gate.hear(CHUNK)
            bench.streamer.notify(bench.now)
            seen.append(peer.kinds().count("audio-chunk") - before)
        peer.write = lambda data: None
        micropython.heap_lock()
        try:
            for _ in range(5):
                bench.gate.hear(CHUNK)
                bench.streamer.notify(bench.now)
        finally:
            micropython.heap_unlock()
        assert bench.gate.waiting_chunks == 0 and not any(bench.streamer._chunk)

    bench.play(*steps, hear)
    assert seen == [1, 1, 3], seen


def test_what_the_network_does_not_take_waits_in_the_gate():
    peer, bench, steps = flowing()
    seen = []

    def hear():
        peer.is_stuck = True
        for _ in range(4):
            bench.gate.hear(CHUNK)
            bench.streamer.notify(bench.now)
        seen.append((bench.gate.waiting_chunks, bench.gate.state))

    def go_on():
        peer.is_stuck = False

    bench.play(*steps, hear, 2, go_on, 3)
    assert seen == [(3, STREAMING)], seen
    assert bench.gate.waiting_chunks == 0 and bench.gate.state == STREAMING
    assert len(bench.attempts) == 1 and bench.sent_bytes == 320 * peer.kinds().count("audio-chunk")


def test_a_mute_between_two_chunks_lets_none_of_them_out():
    peer, bench, steps = flowing()
    kinds = []

    def mute():
        bench.gate.hear(CHUNK)
        bench.gate.mute()
        kinds.extend(peer.kinds())
        bench.streamer.notify(bench.now)
        assert peer.kinds() == kinds

    bench.play(*steps, mute, 3)
    assert peer.kinds()[len(kinds) :] == ["audio-stop", "ping"]


def fail_to_write(error):
    peer, bench, steps = flowing()

    writes = []

    def write(data):
        writes.append(data)
        raise error

    def fail():
        peer.write = write
        bench.gate.hear(CHUNK)
        bench.streamer.notify(bench.now)
        assert not any(bench.streamer._chunk)

    bench.play(*steps, fail, 3)
    assert bench.gate.state == IDLE and bench.gate.last_reason == NETWORK
    assert peer.is_closed and not bench.streamer.is_connected and len(writes) == 1


def test_a_write_that_fails_ends_the_connection_and_not_who_looks():
    fail_to_write(OSError(104))
    fail_to_write(ValueError("peer"))
