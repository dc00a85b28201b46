"""The API's description, in OpenAPI's words."""

from beedex.server.config import ServerConfig

__all__ = ["describe_api"]


def describe_api(config: ServerConfig) -> dict[str, object]:
    """Return the document."""
    del config
    return {"openapi": "3.1.0", "info": {"title": "beedex", "version": "1"}, "paths": {}}
