"""What is answered over HTTP, by name; apart from the answers, so that a server without them needs nothing for HTTP."""

__all__ = ["WEB_METHODS"]

# As log, metrics and traces name them.
WEB_METHODS: tuple[str, ...] = (
    "POST /v1/identify",
    "POST /v1/neighbors",
    "POST /v1/embed",
    "POST /v1/view",
    "GET /v1/families",
    "GET /v1/entries",
    "GET /v1/entries/{entry_id}",
    "GET /v1/photos/{entry_id}",
    "GET /v1/suspects",
    "GET /v1/map",
    "GET /v1/status",
    "GET /v1/report",
    "GET /v1/report/page",
)
