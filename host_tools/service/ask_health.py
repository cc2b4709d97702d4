"""Asks the receiver in the same container for its health: status 0 when it is well.

python -m host_tools.service.ask_health
"""

from __future__ import annotations

import http.client
import sys

from host_tools.service.health import HOST

#: As in the Containerfile.
PORT = 10782
_ANSWER_S = 4.0


def ask(port: int = PORT) -> tuple[bool, str]:
    """Return whether the receiver is well, and what it says."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status == http.client.OK, answer.read(1000).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer: {error}"
    finally:
        connection.close()


if __name__ == "__main__":
    is_well, said = ask()
    print(said)
    sys.exit(not is_well)
