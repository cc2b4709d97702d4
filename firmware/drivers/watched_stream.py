"""A connection that reports when the other end was heard, whatever it said.

Place in the pipeline: between asyncio's stream and the streamer; `wifi` learns from it whether the
network carries anything.
"""

#: ECONNRESET and ECONNREFUSED come from the other end; so do the errors of TLS, below -1000.
_FROM_PEER = (104, 111)
_MAX_TLS_ERROR = -1000


class WatchedStream:
    """Reader and writer of one connection; `heard()` is called for every sign of the other end."""

    def __init__(self, reader, writer, heard):
        self._reader = reader
        self._writer = writer
        self._heard = heard
        self.write = writer.write
        self.close = writer.close

    @property
    def out_buf(self):
        """What was written and the network has not taken yet."""
        return self._writer.out_buf

    async def read(self, count):
        try:
            data = await self._reader.read(count)
        except (OSError, ValueError) as error:
            self._judge(error)
            raise
        if data:
            self._heard()
        return data

    async def drain(self):
        try:
            await self._writer.drain()
        except (OSError, ValueError) as error:
            self._judge(error)
            raise

    async def wait_closed(self):
        await self._writer.wait_closed()

    def _judge(self, error):
        number = error.args[0] if error.args else None
        if isinstance(error, ValueError) or number in _FROM_PEER:
            self._heard()
        elif isinstance(number, int) and number < _MAX_TLS_ERROR:
            self._heard()
