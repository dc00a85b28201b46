"""What the comments in the .proto files promise: the codes and reasons that each RPC can end in."""

import re
from dataclasses import dataclass
from pathlib import Path

import grpc

PROTOS = Path(__file__).parents[3] / "protos" / "beedex" / "v1"

SERVICE = re.compile(r"^service (\w+) {$(.*?)^}$", re.MULTILINE | re.DOTALL)
RPC = re.compile(r"((?:^  //.*\n)+)  rpc (\w+)\((stream )?\w+\) returns \((stream )?\w+\);", re.MULTILINE)
ENTRY = re.compile(r"^([A-Z_]+): (.*)$")
ITEMS_BEGIN = re.compile(r"^An \w+ is refused with:$")
REASON = re.compile(r"\b[A-Z][A-Z_]{2,}\b")
EVERY_RPC = "every RPC may end in:"

# Their items fail as these calls do, but wait where those are refused.
UNARY_OF_STREAM = {"EmbedStream": "Embed", "IdentifyStream": "Identify"}
REFUSED_AT_THE_DOOR = {"LANE_FULL", "DEADLINE_TOO_NEAR"}
OF_CALLS = {"UNAUTHENTICATED", "PERMISSION_DENIED"}


@dataclass(frozen=True, order=True)
class Outcome:
    """A way in which an RPC, or one of its items, ends; without a reason if no ErrorInfo comes."""

    rpc: str
    code: str
    reason: str
    of_item: bool = False


@dataclass(frozen=True)
class Method:
    """An RPC."""

    name: str
    path: str
    request_streaming: bool
    response_streaming: bool

    @property
    def kind(self) -> str:
        """As grpc calls it, such as unary_stream."""
        return "_".join(
            "stream" if streams else "unary" for streams in (self.request_streaming, self.response_streaming)
        )


def read_contract() -> tuple[dict[str, Method], dict[Outcome, bool]]:
    """Return the RPCs by name, and each documented outcome with whether a RetryInfo comes with it."""
    methods: dict[str, Method] = {}
    outcomes: dict[Outcome, bool] = {}
    everywhere = parse_comment(strip(PROTOS.joinpath("types.proto").read_text().partition("syntax")[0]), "")
    for file in ("embedding", "search", "index"):
        for service, body in SERVICE.findall((PROTOS / f"{file}.proto").read_text()):
            for comment, name, request_stream, reply_stream in RPC.findall(body):
                path = f"/beedex.v1.{service}/{name}"
                methods[name] = Method(name, path, bool(request_stream), bool(reply_stream))
                outcomes |= {Outcome(name, every.code, every.reason): retry for every, retry in everywhere.items()}
                outcomes |= parse_comment(strip(comment), name)
    for stream, unary in UNARY_OF_STREAM.items():
        outcomes |= {
            Outcome(stream, outcome.code, outcome.reason, of_item=True): retry
            for outcome, retry in outcomes.items()
            if outcome.rpc == unary and outcome.reason and outcome.code not in OF_CALLS
            if outcome.reason not in REFUSED_AT_THE_DOOR | {every.reason for every in everywhere}
        }
    return methods, outcomes


def strip(comment: str) -> list[str]:
    """Return the lines of a comment; a line that goes on with the one before begins with spaces."""
    return [re.sub(r"^\s*// ?", "", line) for line in comment.splitlines()]


def parse_comment(lines: list[str], rpc: str) -> dict[Outcome, bool]:
    """Return the outcomes that a comment lists, and whether a RetryInfo comes with each."""
    texts: dict[tuple[bool, str], str] = {}
    of_item, code = False, ""
    for line in lines:
        if entry := ENTRY.match(line):
            code = entry[1]
            assert code in grpc.StatusCode.__members__, line
            assert (of_item, code) not in texts, f"{rpc} lists {code} twice"
            texts[of_item, code] = entry[2]
        elif line.startswith("  ") and code:
            texts[of_item, code] += f" {line.strip()}"
        else:
            code, of_item = "", of_item or bool(ITEMS_BEGIN.match(line))
    return {
        Outcome(rpc, code, reason, of_item): retry
        for (of_item, code), text in texts.items()
        for reason, retry in parse_reasons(text).items()
    }


def parse_reasons(text: str) -> dict[str, bool]:
    """Return the reasons of one code, and whether a RetryInfo comes with each; an empty one where gRPC says it."""
    reasons: dict[str, bool] = {}
    for parenthesis in re.findall(r"\(([^()]*)\)", text):
        reasons |= dict.fromkeys(REASON.findall(parenthesis), "with RetryInfo" in parenthesis)
    if not reasons or "without ErrorInfo" in text or text.endswith("is going down."):
        reasons[""] = False
    return reasons
