"""How long the page's timeline takes with 100,000 streams: prints the median and worst of each.

.venv/bin/python -m tests.long.timeline_pages
"""

import asyncio
import datetime
import statistics
import tempfile
import time
from pathlib import Path

from tests.companion.test_timeline import KITCHEN, stream
from tests.fakes.pages import ask, opened

ROWS, ROUNDS = 100_000, 9
PATHS = (
    "/timeline",
    "/timeline?word=hey_jarvis",
    f"/timeline?day={datetime.date.today() - datetime.timedelta(days=9)}",
    "/timeline?kept=yes",
    f"/timeline?kept=no&device={KITCHEN}",
    "/left",
)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder) / "data") as page:
            now_s = time.time()
            words = ("okay_nabu", "hey_jarvis")
            rows = [stream(now_s - 25 * n, wake_word=words[n % 2]) for n in range(ROWS)]
            await page.worker.look(lambda recordings: recordings.history.add(rows))
            client = await page.enter()
            for path in PATHS:
                took_ms = []
                for _ in range(ROUNDS):
                    began_s = time.perf_counter()
                    status, _, _ = await ask(client, "GET", path)
                    took_ms.append(1000 * (time.perf_counter() - began_s))
                    assert status == 200, (path, status)
                median = statistics.median(took_ms)
                print(f"{path:50} median {median:4.0f} ms, worst {max(took_ms):4.0f} ms")


if __name__ == "__main__":
    asyncio.run(main())
