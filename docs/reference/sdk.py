"""The regions of docs/sdk.md."""

from collections.abc import Callable, Mapping
from functools import cache

import griffe
from docs.reference.docstrings import (
    list_attributes,
    load_client,
    read_summary,
    read_text,
    write_arguments,
    write_signature,
)
from docs.reference.pages import write_table

from beedex.client import _errors
from beedex.client._calls import methods
from beedex.client._connections.channel import DEFAULT_ATTEMPTS, DEFAULT_TIMEOUT_S, MOST_ATTEMPTS
from beedex.client._connections.failures import ERROR_BY_CODE
from beedex.client._face import BUILD_TIMEOUT_S, DEFAULT_IN_FLIGHT

__all__ = ["SDK_MAKERS"]

# Every call and every name is in one group, in the order of the page.
CALLS: Mapping[str, tuple[str, ...]] = {
    "Ask": ("identify", "neighbors", "embed"),
    "Ask of many photos": ("identify_many", "embed_many"),
    "What the server has": ("status", "families", "photo", "snapshots"),
    "Change the index": ("upsert", "delete", "rebuild", "activate", "rollback"),
    "Close": ("close",),
}
ARGUMENTS = ("Tls", "EntryToUpsert")
RESULTS: Mapping[str, tuple[str, ...]] = {
    "Asked": ("Identification", "Verdict", "FamilyScore", "Neighbors", "Neighbor", "Embedding", "Outcome"),
    "What the server has": (
        "Status",
        "Limits",
        "Families",
        "Family",
        "StoredPhoto",
        "Entry",
        "Snapshots",
        "StoredSnapshot",
    ),
    "Changes": ("EntryOutcomes", "EntryOutcome", "RebuildProgress", "RebuildSummary", "SkippedPhoto", "Activation"),
}
# What they are is said in a comment, where it can't be taken from.
ALIASES: Mapping[str, str] = {
    "PhotoSource": "a path, the bytes of an image file, a file open in binary mode, an array of uint8 of shape (H, W), "
    "(H, W, 3) or (H, W, 4), or an image of Pillow",
    "TokenSource": "the token, the path of a file with it, or a function that returns it",
}


def write_surface() -> str:
    """Return all names that `beedex.client` has, by kind."""
    kinds = {
        "clients": ("Client", "AsyncClient"),
        "arguments": (*ARGUMENTS, *ALIASES),
        "results": tuple(name for names in RESULTS.values() for name in names),
        "errors": tuple(sorted(_errors.__all__)),
    }
    grouped = sorted(name for names in kinds.values() for name in names)
    public = sorted(str(name) for name in _client().exports or ())
    if grouped != public:
        raise ValueError(f"expected docs/reference/sdk.py to group {public}, received {grouped}")
    return write_table(
        ["kind", "names"], [[kind, ", ".join(f"`{name}`" for name in names)] for kind, names in kinds.items()]
    )


def write_clients() -> str:
    """Return how a client is made."""
    client = _find("Client")
    made = client.all_members["__init__"]
    if not isinstance(made, griffe.Function):
        made = _as_function(made)
    return "\n\n".join(
        [
            _code(write_signature("Client", made, returns=False)),
            write_arguments(client, made),
        ]
    )


def write_calls() -> str:
    """Return every call."""
    client = _find("Client")
    public = sorted(name for name in client.functions if not name.startswith("_"))
    grouped = sorted(name for names in CALLS.values() for name in names)
    if grouped != public:
        raise ValueError(f"expected docs/reference/sdk.py to group the calls {public}, received {grouped}")
    rows = [
        [title if place == 0 else "", f"[`{name}`](#{name})", f"{read_summary(client.functions[name])}."]
        for title, names in CALLS.items()
        for place, name in enumerate(names)
    ]
    parts = [write_table(["to", "call", ""], rows)]
    for title, names in CALLS.items():
        parts.append(f"### {title}")
        for name in names:
            call = client.functions[name]
            parts += [
                f"#### {name}",
                _code(write_signature(f"client.{name}", call)),
                read_text(call),
                write_arguments(call, call),
            ]
    return _join(parts)


def write_arguments_of_calls() -> str:
    """Return what callers make themselves."""
    rows = [[f"`{name}`", text] for name, text in ALIASES.items()]
    return _join([write_table(["name", "what"], rows), *(_write_class(name) for name in ARGUMENTS)])


def write_origin() -> str:
    """Return what every answer has."""
    answer = _client()["_results.result.Answer"]
    if not isinstance(answer, griffe.Class):
        raise TypeError(f"expected Answer to be a class, received {answer.kind.value}")
    return _tabulate_attributes(answer)


def write_results() -> str:
    """Return every result with its fields and what it can become."""
    parts = []
    for title, names in RESULTS.items():
        parts += [f"### {title}", *(_write_class(name) for name in names)]
    return _join(parts)


def write_error_tree() -> str:
    """Return the tree that the module of the errors draws."""
    return f"```text\n{_draw_tree()}\n```"


def write_error_attributes() -> str:
    """Return what every error tells."""
    return _tabulate_attributes(_find("ClientError"))


def write_codes() -> str:
    """Return which status code is which error."""
    rows = [[f"`{code.name}`", f"`{kind.__name__}`"] for code, kind in ERROR_BY_CODE.items()]
    return write_table(["status code", "error"], rows)


def write_times() -> str:
    """Return the deadlines and the attempts."""
    repeated = [method.name for method in methods.METHODS if method.is_repeatable]
    once = [method.name for method in methods.METHODS if not method.is_repeatable]
    rows = [
        ["deadline of a call", f"{DEFAULT_TIMEOUT_S:g} s", "`Client(timeout_s=)`, or `timeout_s=` of the call"],
        ["deadline of a rebuild", f"{BUILD_TIMEOUT_S / 3600:g} h", "`rebuild(timeout_s=)`"],
        ["deadline of each photo of many", "the client's", "`identify_many(timeout_s=)`"],
        ["photos of many under way", f"{DEFAULT_IN_FLIGHT}", "`identify_many(in_flight=)`"],
        ["attempts", f"{DEFAULT_ATTEMPTS}, at most {MOST_ATTEMPTS}", "`Client(attempts=)`, or `retry=False` of a call"],
        ["made again while the server is unavailable", ", ".join(repeated), "a second time changes nothing more"],
        ["made once", ", ".join(once), "a second time would change more, or answer something else"],
    ]
    return write_table(["what", "by default", "how to change it, or why"], rows)


SDK_MAKERS: Mapping[str, Callable[[], str]] = {
    "surface": write_surface,
    "clients": write_clients,
    "calls": write_calls,
    "arguments": write_arguments_of_calls,
    "origin": write_origin,
    "results": write_results,
    "error-tree": write_error_tree,
    "error-attributes": write_error_attributes,
    "codes": write_codes,
    "times": write_times,
}


@cache
def _client() -> griffe.Module:
    return load_client()


def _find(name: str) -> griffe.Class:
    member = _client().members[name]
    found = member.final_target if isinstance(member, griffe.Alias) else member
    if not isinstance(found, griffe.Class):
        raise TypeError(f"expected beedex.client.{name} to be a class, received {found.kind.value}")
    return found


def _as_function(member: griffe.Object | griffe.Alias) -> griffe.Function:
    found = member.final_target if isinstance(member, griffe.Alias) else member
    if not isinstance(found, griffe.Function):
        raise TypeError(f"expected {member.path} to be a function, received {found.kind.value}")
    return found


def _write_class(name: str) -> str:
    source = _find(name)
    methods = [
        [f"`{write_signature(f'.{method}', function)}`", f"{read_summary(function)}."]
        for method, function in _list_methods(source)
    ]
    return _join(
        [
            f"#### {name}",
            read_text(source),
            _name_members(source),
            _tabulate_attributes(source),
            write_table(["method", ""], methods) if methods else "",
        ]
    )


def _name_members(source: griffe.Class) -> str:
    """Return what a class has beside what it says itself: an answer its origin, an enumeration its members."""
    bases = {base.name for base in source.mro()} | {str(base) for base in source.bases}
    if "Answer" in bases:
        return "Also [what every answer has](#every-answer)."
    return f"One of {', '.join(f'`{name}`' for name in source.attributes)}." if "StrEnum" in bases else ""


def _list_methods(source: griffe.Class) -> list[tuple[str, griffe.Function]]:
    """Return what is a class's own, and `to_pandas` of sequences; `to_dict` is the same of all."""
    return [
        (name, call)
        for name, call in source.functions.items()
        if not name.startswith("_") and name != "to_dict" and "property" not in call.labels
    ]


def _tabulate_attributes(source: griffe.Class) -> str:
    rows = [[f"`{name}`", f"`{kind}`" if kind else "", meaning] for name, kind, meaning in list_attributes(source)]
    return write_table(["attribute", "type", ""], rows) if rows else ""


def _draw_tree() -> str:
    drawn = (_errors.__doc__ or "").split("\n\n")[1:3]
    return "\n\n".join("\n".join(line.removeprefix("    ") for line in part.splitlines()) for part in drawn)


def _code(text: str) -> str:
    return f"```text\n{text}\n```"


def _join(parts: list[str]) -> str:
    return "\n\n".join(part for part in parts if part)
