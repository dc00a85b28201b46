"""What the API's documents look like, in JSON Schema: the shapes that openapi.py names."""

from typing import Any

__all__ = ["SCHEMAS", "describe_object"]

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
# Rounding leaves the cosine of a photo with itself a little above 1.
COSINE: Schema = {"type": "number", "minimum": -1.001, "maximum": 1.001, "description": "Larger is closer."}
ANYTHING: Schema = {"type": "object"}

ENTRY_ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{16}$", "description": "The photo's sha256 begins so."}
FINGERPRINT: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "Names the embedder."}


def describe_object(properties: Schema, **more: Any) -> Schema:  # noqa: ANN401 - further words of JSON Schema
    """Return the schema of an object that has all of these and nothing else."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


def _refer(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _or_null(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "null"}]}


REQUEST_ID: Schema = {"request_id": TEXT}
ORIGIN: Schema = {"fingerprint": FINGERPRINT, "snapshot": WHOLE, **REQUEST_ID}

ENTRY: Schema = {
    "entry_id": ENTRY_ID,
    "family": TEXT,
    "path": TEXT,
    "group": TEXT,
    "species": TEXT,
    "source": TEXT,
    "license": TEXT,
    "credit": TEXT,
}

PLACE = describe_object({"x": NUMBER, "y": NUMBER}, description="In [-1, 1], y upwards.")

SCHEMAS: Schema = {
    "Error": describe_object(
        {
            "error": describe_object(
                {
                    "code": {"type": "string", "description": "A gRPC status code's name."},
                    "reason": {"type": "string", "description": "Stable, in capitals."},
                    "message": TEXT,
                    "field": {"type": "string", "description": "What of the request is at fault; may be empty."},
                    "details": {"type": "object", "additionalProperties": TEXT},
                    "retry_after_s": {"type": ["number", "null"]},
                    **REQUEST_ID,
                }
            )
        }
    ),
    "Entry": describe_object(ENTRY, description="An indexed photo. Texts are empty where the gallery says nothing."),
    "Neighbor": describe_object({**ENTRY, "similarity": COSINE}),
    "Question": {
        "oneOf": [
            describe_object({"entry_id": ENTRY_ID}),
            describe_object({"vector": {**_list(NUMBER), "minItems": 1}}),
        ]
    },
    "Identification": describe_object(
        {
            "verdict": {"enum": ["MATCH", "AMBIGUOUS", "UNKNOWN"]},
            "family": {"type": ["string", "null"]},
            "probability": SHARE,
            "candidates": _list(TEXT),
            "reason": TEXT,
            "families": _list(describe_object({"family": TEXT, "probability": SHARE, "similarity": COSINE})),
            "neighbors": _list(_refer("Neighbor")),
            "map": _or_null(PLACE),
            **ORIGIN,
        }
    ),
    "Neighbors": describe_object({"neighbors": _list(_refer("Neighbor")), **ORIGIN}),
    "Embedding": describe_object({"vector": _list(NUMBER), "dimension": WHOLE, **ORIGIN}),
    "Families": describe_object(
        {
            "families": _list(describe_object({"name": TEXT, "entries": WHOLE, "examples": _list(ENTRY_ID)})),
            **ORIGIN,
        }
    ),
    "Entries": describe_object(
        {"entries": _list(_refer("Entry")), "next_cursor": _or_null(ENTRY_ID), "total": WHOLE, **ORIGIN}
    ),
    "EntryWithNeighbors": describe_object({"entry": _refer("Entry"), "neighbors": _list(_refer("Neighbor")), **ORIGIN}),
    "Suspects": describe_object(
        {
            "rule": TEXT,
            "checked": WHOLE,
            "entries": WHOLE,
            "total": WHOLE,
            "suspects": _list(
                describe_object(
                    {
                        "entry": _refer("Entry"),
                        "suspected_family": TEXT,
                        "suspicion": NUMBER,
                        "own_similarity": COSINE,
                        "other_similarity": COSINE,
                        "neighbors": _list(_refer("Neighbor")),
                    }
                )
            ),
            **ORIGIN,
        }
    ),
    "Map": describe_object(
        {
            "method": TEXT,
            "entries": WHOLE,
            "families": _list(TEXT),
            "family_index": {"type": "string", "description": "Base64 of N little-endian uint32."},
            "ids": {"type": "string", "description": "Base64 of N big-endian uint64: entry ids, 8 bytes each."},
            "x": {"type": "string", "description": "Base64 of N little-endian float32."},
            "y": {"type": "string", "description": "The same; upwards, in the same scale."},
            "fingerprint": FINGERPRINT,
            "snapshot": WHOLE,
        }
    ),
    "Status": describe_object(
        {
            "server_version": TEXT,
            "embedder": ANYTHING,
            "snapshot": ANYTHING,
            "limits": ANYTHING,
            "load": describe_object({"lane_depth": WHOLE, "lane_capacity": WHOLE, "expected_wait_s": NUMBER}),
            # The first two only just before it serves: as long as there is nothing to tell of, it refuses.
            "phase": {"enum": ["loading", "waiting", "serving", "draining"]},
            "index_problem": {"type": ["string", "null"]},
            "latency": {
                "type": "object",
                "additionalProperties": describe_object({"count": WHOLE, "p50_s": NUMBER, "p95_s": NUMBER}),
            },
            "fingerprint": FINGERPRINT,
            **REQUEST_ID,
        }
    ),
    "Report": describe_object(
        {
            "metrics": ANYTHING,
            "families": _list(TEXT),
            "backbone": TEXT,
            "weights": ANYTHING,
            "calibration": _or_null(ANYTHING),
            "training": ANYTHING,
            "has_page": FLAG,
            **ORIGIN,
        }
    ),
    "Liveness": describe_object({"status": {"const": "live"}}),
    "Readiness": describe_object({"status": {"enum": ["ready", "not ready"]}, "phase": TEXT}),
}
