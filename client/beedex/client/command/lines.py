"""What commands print that is no table: JSON, errors and notes."""

import json
import sys
from collections.abc import Mapping

__all__ = ["print_error", "print_json", "say", "word_for_shell"]

# The errors of the client tell a program the way out; at the command line it has another name.
WORDS_FOR_SHELL: Mapping[str, str] = {
    "pass tls=Tls()": "give --tls",
    "with tls=Tls(ca=FILE)": "with --tls-ca FILE",
    "allow_insecure_token=True": "--insecure",
    "pass a token= that it knows": "give --token-file FILE, or the variable BEEDEX_TOKEN, with a token that it knows",
    "with timeout_s": "with --timeout",
    # What a server says, in the words of its protocol.
    "expected the metadata or header `authorization: Bearer TOKEN` once, received none": (
        "expected one, received none; give --token-file FILE, or the variable BEEDEX_TOKEN"
    ),
}


def print_json(document: object, *, indent: int | None = 2) -> None:
    """Print one JSON document on stdout, at once; without *indent* on one line."""
    # In another encoding, what it lacks has to be escaped as JSON has it.
    is_unicode = (sys.stdout.encoding or "utf-8").lower().replace("-", "") == "utf8"
    print(json.dumps(document, indent=indent, ensure_ascii=not is_unicode), flush=True)


def print_error(message: str) -> None:
    """Print an error as one line on stderr, whatever the text holds."""
    print(f"beedex: error: {' '.join(word_for_shell(message).split())}", file=sys.stderr)


def say(message: str) -> None:
    """Print a line on stderr that is no error."""
    print(f"beedex: {' '.join(word_for_shell(message).split())}", file=sys.stderr, flush=True)


def word_for_shell(message: str) -> str:
    """Return the message with the options of commands in place of the arguments of Python.

    Example:
        >>> word_for_shell("no answer within 30 s; give it more time with timeout_s")
        'no answer within 30 s; give it more time with --timeout'
    """
    for word, option in WORDS_FOR_SHELL.items():
        message = message.replace(word, option)
    return message
