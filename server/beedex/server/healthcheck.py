"""`python -m beedex.server.healthcheck [HOST:PORT]`: ends with 0 if the server there answers requests, with 1 if not.

For containers, whose images have no curl. It asks the server's HTTP side, at $BEEDEX_SERVER_WATCH__HTTP_LISTEN unless
told otherwise, and imports nothing but the standard library, since it runs every few seconds.
"""

import http.client
import os
import sys
from contextlib import closing

__all__ = ["check_health", "main"]

VARIABLE = "BEEDEX_SERVER_WATCH__HTTP_LISTEN"
TIMEOUT_S = 2.0

# Where a server listens that listens everywhere.
LOOPBACK = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - not bound, only understood


def check_health(address: str) -> tuple[bool, str]:
    """Ask the server whose HTTP side is at HOST:PORT.

    Returns:
        Whether it answers requests, and its words.
    """
    host, _, port = address.rpartition(":")
    try:
        connection = http.client.HTTPConnection(LOOPBACK.get(host, host).strip("[]"), int(port), timeout=TIMEOUT_S)
        with closing(connection):
            connection.request("GET", "/readyz")
            reply = connection.getresponse()
            return reply.status == http.HTTPStatus.OK, reply.read().decode("utf-8", "replace").strip()
    except (OSError, ValueError, http.client.HTTPException) as error:
        return False, f"nobody answers at {address}: {error}"


def main(arguments: list[str]) -> int:
    """Print what the server says, and return the exit code."""
    address = arguments[0] if arguments else os.environ.get(VARIABLE, "")
    if not address:
        print(f"beedex: error: expected HOST:PORT as an argument or in {VARIABLE}, received none", file=sys.stderr)
        return 2
    is_healthy, words = check_health(address)
    print(words)
    return 0 if is_healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
