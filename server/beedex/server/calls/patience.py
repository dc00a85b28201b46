"""How long the server waits for callers to take its replies.

One who opens streams and reads nothing would keep what each has under way for as long as the connection stays.
"""

import asyncio
from collections.abc import Awaitable

from beedex.server.calls.handlers import RemakingInterceptor, send_replies
from beedex.server.errors import IdleError

__all__ = ["PatienceInterceptor", "refuse_idle"]


class PatienceInterceptor(RemakingInterceptor):
    """Ends a stream of replies when one of them isn't taken. It goes after all other interceptors.

    Args:
        most_s: how long one reply may wait for its caller.
    """

    def __init__(self, most_s: float) -> None:
        super().__init__(lambda _method, handler: send_replies(handler, self._send))
        self._most_s = most_s

    async def _send(self, sending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._most_s):
                await sending
        except TimeoutError as error:
            raise refuse_idle(self._most_s, "took no answer") from error


def refuse_idle(most_s: float, what: str) -> IdleError:
    """Return the error that ends a stream whose caller did nothing; *what* says that in words."""
    return IdleError(
        f"the caller {what} for {most_s:g} s, expected something sooner; close streams that have nothing to do",
        reason="STREAM_IDLE",
        values={"max_idle_s": most_s},
    )
