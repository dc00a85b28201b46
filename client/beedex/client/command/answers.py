"""Answering one photo after the other, in their order: shown at once to people, or as one JSON document at the end."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import typer

from beedex.client import AccessError, ClientError, UnavailableError, UnsupportedError
from beedex.client._results.outcomes import Outcome
from beedex.client.command.documents import describe_identification, describe_neighbors
from beedex.client.command.illustration import Illustrator, open_illustrator
from beedex.client.command.lines import print_error, print_json, say
from beedex.client.command.photolist import NamedPhoto
from beedex.client.command.printing import head_identification, open_console, tabulate_neighbors
from beedex.client.command.progress import report_progress

if TYPE_CHECKING:
    from rich.console import Console

    from beedex.client import Client, Identification, Neighbors
    from beedex.client.command.connection import Connection
    from beedex.client.pictures.choice import PictureProtocol

__all__ = ["EXIT_INTERRUPTED", "FATAL", "AnswerSheet", "identify_listed", "list_neighbors", "show_identification"]

Answer = TypeVar("Answer")

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells say it

# Of the server or the caller, not of a photo: the others would fail by the same.
FATAL = (AccessError, UnavailableError, UnsupportedError)


class AnswerSheet(Generic[Answer]):
    """What became of a list of photos.

    Args:
        photos: in the order in which their outcomes come.
        describe: returns the JSON of an answer or an error.
        show: shows an answer to people; None to print one JSON document instead.
    """

    def __init__(
        self,
        photos: Sequence[NamedPhoto],
        *,
        describe: Callable[[str, Answer | None, ClientError | None], dict[str, Any]],
        show: Callable[[NamedPhoto, Answer], None] | None,
    ) -> None:
        self._photos = photos
        self._describe = describe
        self._show = show
        self._documents: list[dict[str, Any]] = []
        self._told: set[str] = set()
        self._has_failed = False

    def fill(self, outcomes: Iterable[Outcome[Answer]]) -> None:
        """Take the outcomes as they come, and end the command if not every photo was answered.

        Raises:
            ClientError: the server can't be asked.
            typer.Exit: a photo failed, or Ctrl-C was pressed.
        """
        try:
            with report_progress("photos", len(self._photos), stream=sys.stderr) as progress:
                for outcome in outcomes:
                    # What is printed would break the bar, JSON comes at the end.
                    with progress.paused() if self._show is not None else nullcontext():
                        self._take(self._photos[outcome.index], outcome)
                    progress.advance()
        except KeyboardInterrupt as interrupt:
            self._print_document()
            say(f"interrupted: {len(self._documents)} of {len(self._photos)} photos were answered")
            raise typer.Exit(EXIT_INTERRUPTED) from interrupt
        except ClientError as error:
            rest = self._photos[len(self._documents) :]
            self._documents += [self._describe(photo.name, None, error) for photo in rest]
            self._print_document()
            if str(error) in self._told:
                raise typer.Exit(1) from error
            raise
        self._print_document()
        if self._has_failed:
            raise typer.Exit(1)

    def _take(self, photo: NamedPhoto, outcome: Outcome[Answer]) -> None:
        self._documents.append(self._describe(photo.name, outcome.result, outcome.error))
        if outcome.error is not None:
            self._has_failed = True
            if self._show is not None:
                self._tell(photo, outcome.error)
        elif self._show is not None and outcome.result is not None:
            self._show(photo, outcome.result)

    def _tell(self, photo: NamedPhoto, error: ClientError) -> None:
        message = str(error)
        if isinstance(error, FATAL):
            # Once, however many photos were under way.
            if message not in self._told:
                print_error(message)
            self._told.add(message)
        else:
            print_error(f"{photo.name}: {message}")

    def _print_document(self) -> None:
        if self._show is None:
            print_json(self._documents)


def identify_listed(
    photos: Sequence[NamedPhoto], connection: "Connection", *, k: int, pictures: "PictureProtocol", as_json: bool
) -> None:
    """Identify the photos over one stream."""
    console = open_console()
    with connection.open() as client:
        illustrator = open_illustrator(client, console, pictures, photos=len(photos))
        sheet: AnswerSheet[Identification] = AnswerSheet(
            photos,
            describe=describe_identification,
            show=None if as_json else lambda photo, answer: show_identification(console, illustrator, photo, answer),
        )
        with closing(client.identify_many([photo.source for photo in photos], k=k)) as outcomes:
            sheet.fill(outcomes)


def list_neighbors(
    photos: Sequence[NamedPhoto], connection: "Connection", *, k: int, pictures: "PictureProtocol", as_json: bool
) -> None:
    """Look up the neighbors of one photo after the other."""
    console = open_console()
    with connection.open() as client:
        illustrator = open_illustrator(client, console, pictures, photos=len(photos))

        def show(photo: NamedPhoto, answer: "Neighbors") -> None:
            console.print(photo.name, style="bold", markup=False)
            console.print(tabulate_neighbors(answer, width=console.width))
            illustrator.show(photo, answer)

        sheet: AnswerSheet[Neighbors] = AnswerSheet(photos, describe=describe_neighbors, show=None if as_json else show)
        sheet.fill(_ask_neighbors(client, photos, k))


def show_identification(
    console: "Console", illustrator: Illustrator, photo: NamedPhoto, answer: "Identification"
) -> None:
    """Print the verdict, the families with bars, the neighbors, and the pictures if there are any."""
    console.print(head_identification(photo.name, answer, width=console.width))
    console.print(tabulate_neighbors(answer.neighbors, width=console.width))
    illustrator.show(photo, answer.neighbors)
    console.print()


def _ask_neighbors(client: "Client", photos: Sequence[NamedPhoto], k: int) -> "Iterator[Outcome[Neighbors]]":
    for index, photo in enumerate(photos):
        try:
            answer = client.neighbors(photo.source, k=k)
        except FATAL:
            raise
        except ClientError as error:
            yield Outcome(index=index, photo=photo.source, error=error)
        else:
            yield Outcome(index=index, photo=photo.source, result=answer)
