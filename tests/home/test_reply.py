"""Audio between Home Assistant and a device: whole samples, in order, and never too much."""

import asyncio

from host_tools.home.reply import MAX_WAITING_BYTES, Reply


def heard(reply):
    async def listen():
        return [piece async for piece in reply.audio()]

    return asyncio.run(listen())


def test_samples_come_out_whole_and_in_order():
    reply = Reply()
    for piece in (b"1", b"2", b"345", b"", b"678", b"9"):
        reply.put(piece)
    reply.end()
    assert heard(reply) == [b"12", b"34", b"5678"], "the ninth byte is no sample"


def test_after_the_end_nothing_more_comes():
    reply = Reply()
    reply.put(b"12")
    reply.end()
    reply.put(b"34")
    assert heard(reply) == [b"12"]


def test_what_is_dropped_is_not_heard():
    reply = Reply()
    reply.put(b"12")
    reply.drop()
    reply.put(b"34")
    assert heard(reply) == []


def test_no_more_waits_than_can_be_spoken():
    reply = Reply()
    for _ in range(2 * MAX_WAITING_BYTES // 32000):
        reply.put(bytes(32000))
    reply.end()
    assert sum(map(len, heard(reply))) == MAX_WAITING_BYTES
