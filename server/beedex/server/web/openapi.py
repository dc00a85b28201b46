"""The API's description, in OpenAPI's words; it is made with the server's own limits."""

from importlib.metadata import version
from typing import Any

from beedex.server.calls.queries import DEFAULT_K, LEAST_SIDE_PX, MOST_SIDE_PX
from beedex.server.config import ServerConfig
from beedex.server.web import gallery, suspects
from beedex.server.web.schemas import ENTRY_ID, FINGERPRINT, SCHEMAS
from beedex.server.web.wording import STATUS_BY_CODE, STATUS_BY_REASON

__all__ = ["describe_api"]

Document = dict[str, Any]

BINARY: Document = {"type": "string", "format": "binary"}

INTRODUCTION = """\
Which family of bee is on a photo, and which indexed photos are most like it. The same server answers over gRPC, with
the same limits, tokens and errors. Where the server asks for tokens, every request under /v1 and /metrics carries one
in the header `Authorization`; browsers never add it by themselves, so that another site's page can't act for a visitor.
"""

# What any request may be answered with. A server that loads, or is about to end, says 503.
REFUSALS = sorted({*STATUS_BY_CODE.values(), *STATUS_BY_REASON.values()} - {200, 405, 499, 501, 421})


def describe_api(config: ServerConfig) -> Document:
    """Return the document."""
    limits, web = config.limits, config.web
    k = _ask("k", {"type": "integer", "minimum": 1, "maximum": limits.max_k, "default": min(DEFAULT_K, limits.max_k)})
    families = _ask("families", {"type": "array", "items": {"type": "string"}}, "Only neighbors of these.")
    common = [
        _ask("expected_fingerprint", FINGERPRINT, "Refuse to answer with another embedder."),
        _ask("expected_snapshot", {"type": "integer", "minimum": 1, "maximum": 2**53}, "The same of the snapshot."),
        _ask(
            "timeout_s",
            {"type": "number", "exclusiveMinimum": 0, "maximum": web.max_timeout_s, "default": web.default_timeout_s},
            "How long the caller waits; the header X-Timeout-S says it too.",
        ),
    ]
    entry_id: Document = {"name": "entry_id", "in": "path", "required": True, "schema": ENTRY_ID}
    size = _ask("size", {"type": "integer", "minimum": LEAST_SIDE_PX, "maximum": MOST_SIDE_PX}, "The longer side.")
    paths: Document = {
        "/v1/identify": _post("Decide the family of a photo.", "Identification", [k, *common]),
        "/v1/neighbors": _post("Find the photos most like one.", "Neighbors", [k, families, *common]),
        "/v1/embed": _post("Return a photo's vector.", "Embedding", common),
        "/v1/view": _post("Return a photo as the embedder sees it.", None, common, {"image/png": {"schema": BINARY}}),
        "/v1/families": _get("List the families.", "Families", common),
        "/v1/entries": _get(
            "List the indexed photos.",
            "Entries",
            [
                _ask("family", {"type": "string"}),
                _ask("cursor", ENTRY_ID, "next_cursor of the page before."),
                _ask("limit", _range(gallery.DEFAULT_LIMIT, gallery.MOST_LIMIT)),
                *common,
            ],
        ),
        "/v1/entries/{entry_id}": _get("Tell of a photo.", "EntryWithNeighbors", [entry_id, k, *common]),
        "/v1/photos/{entry_id}": _get(
            "Send a photo, shrunk if a size is given.",
            None,
            [entry_id, size, *common],
            {"image/*": {"schema": BINARY}, "application/octet-stream": {"schema": BINARY}},
            is_tagged=True,
        ),
        "/v1/suspects": _get(
            f"List the photos whose label may be wrong. {suspects.RULE}",
            "Suspects",
            [_ask("limit", _range(suspects.DEFAULT_LIMIT, suspects.MOST_LIMIT)), *common],
        ),
        "/v1/map": _get("Tell where the photos are on the map, all at once.", "Map", common, is_tagged=True),
        "/v1/status": _get("Tell what is served, and how busy it is.", "Status", common),
        "/v1/report": _get("Tell how good the embedder is.", "Report", common),
        "/v1/report/page": _get("The same, for people.", None, common, {"text/html": {"schema": {"type": "string"}}}),
        "/openapi.json": _get_open("This document.", {"application/json": {"schema": {"type": "object"}}}),
        "/healthz": _get_open("Say that the server lives.", _of("Liveness")),
        "/livez": _get_open("The same.", _of("Liveness")),
        "/readyz": _get_open("Say whether requests are answered.", _of("Readiness"), 503),
        "/metrics": _get("Tell the metrics, for Prometheus.", None, [], {"text/plain": {"schema": {"type": "string"}}}),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "beedex", "version": version("beedex"), "description": INTRODUCTION},
        "servers": [{"url": "/"}],
        "security": [{"token": []}] if config.access.tokens is not None else [],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {"Refusal": {"description": "Why not.", "content": _of("Error")}},
        },
    }


def _ask(name: str, schema: Document, description: str = "") -> Document:
    parameter: Document = {"name": name, "in": "query", "required": False, "schema": schema}
    return {**parameter, "description": description} if description else parameter


def _range(default: int, most: int) -> Document:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": default}


def _of(name: str) -> Document:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _answer(content: Document) -> Document:
    refusals = {str(status): {"$ref": "#/components/responses/Refusal"} for status in REFUSALS}
    return {"200": {"description": "The answer.", "content": content}, **refusals}


def _get(
    summary: str,
    shape: str | None,
    parameters: list[Document],
    content: Document | None = None,
    *,
    is_tagged: bool = False,
) -> Document:
    """Describe what is asked for; what is tagged isn't sent again to who has it."""
    responses = _answer(content or _of(shape or ""))
    if is_tagged:
        responses["304"] = {"description": "The caller has it already."}
    return {"get": {"summary": summary, "parameters": parameters, "responses": responses}}


def _get_open(summary: str, content: Document, *more: int) -> Document:
    """Describe what needs no token and refuses only what is no request for it."""
    answers = {str(status): {"description": summary, "content": content} for status in (200, *more)}
    refusal = {"400": {"$ref": "#/components/responses/Refusal"}}
    return {"get": {"summary": summary, "security": [], "responses": {**answers, **refusal}}}


def _post(summary: str, shape: str | None, parameters: list[Document], content: Document | None = None) -> Document:
    form = {
        "type": "object",
        "properties": {"photo": BINARY},
        "required": ["photo"],
        "additionalProperties": False,
    }
    body = {
        "application/json": {"schema": {"$ref": "#/components/schemas/Question"}},
        "multipart/form-data": {"schema": form},
        "image/*": {"schema": BINARY},
        "application/octet-stream": {"schema": BINARY},
    }
    operation = {
        "summary": summary,
        "parameters": parameters,
        "requestBody": {"required": True, "content": body},
        "responses": _answer(content or _of(shape or "")),
    }
    return {"post": operation}
