"""Identifying photos as they arrive, for as long as the command runs."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from beedex.client import BusyError, ClientError, UnavailableError
from beedex.client.command.answers import FATAL, show_identification
from beedex.client.command.arrivals import DEFAULT_SETTLE_S, Arrivals
from beedex.client.command.documents import describe_identification
from beedex.client.command.illustration import open_illustrator
from beedex.client.command.lines import print_error, print_json, say
from beedex.client.command.photolist import NamedPhoto
from beedex.client.command.printing import open_console
from beedex.client.pictures.choice import PictureProtocol

if TYPE_CHECKING:
    from beedex.client.command.connection import Connection

__all__ = ["POLL_S", "answer_arrivals", "identify_arrivals", "insist"]

T = TypeVar("T")

# How often the folder is looked at.
POLL_S = 0.5

# How long to wait for a server that is away: twice as long each time, up to the last.
FIRST_WAIT_S, LAST_WAIT_S = 1.0, 30.0


def answer_arrivals(
    poll: Callable[[], list[Path]], answer: Callable[[Path], None], *, sleep: Callable[[float], None]
) -> None:
    """Give every photo that arrives to *answer*, for ever: an exception is the only way out."""
    while True:
        for photo in poll():
            answer(photo)
        sleep(POLL_S)


def insist(ask: Callable[[], T], *, note: Callable[[str], None], sleep: Callable[[float], None]) -> T:
    """Return what *ask* returns, however long the server is away or busy.

    Args:
        ask: the call.
        note: told in words, once, that the server is away, and that it is back.
        sleep: takes seconds.

    Raises:
        ClientError: another failure than that.
    """
    wait_s, is_away = FIRST_WAIT_S, False
    while True:
        try:
            answer = ask()
        except (BusyError, UnavailableError) as error:
            if not is_away:
                note(f"{error}; trying again until it answers")
            is_away = True
            sleep(_choose_wait(error, wait_s))
            wait_s = min(LAST_WAIT_S, wait_s * 2)
        else:
            if is_away:
                note("the server answers again")
            return answer


def _choose_wait(error: ClientError, wait_s: float) -> float:
    # What the server suggests is at least as good a guess, but it may not know of its own restart.
    return min(LAST_WAIT_S, max(wait_s, error.retry_after_s or 0.0))


def identify_arrivals(
    folder: Path,
    connection: "Connection",
    *,
    k: int,
    with_existing: bool,
    pictures: PictureProtocol,
    as_json: bool,
) -> None:
    """Identify the photos that arrive in a folder, until Ctrl-C.

    A photo that fails is told of once.

    Raises:
        WatchedFolderError: the folder can't be looked at.
        ClientError: the server doesn't let this caller in, or doesn't know the call.
    """
    arrivals = Arrivals(folder, settle_s=DEFAULT_SETTLE_S, clock=time.monotonic, with_existing=with_existing)
    console = open_console()
    say(f"watching {folder}; Ctrl-C ends it")
    with connection.open() as client, suppress(KeyboardInterrupt):
        illustrator = open_illustrator(client, console, pictures, photos=1)

        def answer(path: Path) -> None:
            photo = NamedPhoto(str(path), str(path))
            try:
                result = insist(lambda: client.identify(photo.source, k=k), note=say, sleep=time.sleep)
            except FATAL:
                raise
            except ClientError as error:
                if as_json:
                    print_json(describe_identification(photo.name, None, error), indent=None)
                else:
                    print_error(f"{photo.name}: {error}")
                return
            if as_json:
                print_json(describe_identification(photo.name, result), indent=None)
            else:
                show_identification(console, illustrator, photo, result)

        answer_arrivals(arrivals.poll, answer, sleep=time.sleep)
