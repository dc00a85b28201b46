"""Roles, and which one each method of the server needs.

The table is by service, with the methods that differ beside it: a method that is added to a service is as protected as
its neighbours, and one of a service that nobody thought of is the admin's.
"""

from enum import StrEnum
from types import MappingProxyType

__all__ = ["EXCEPTIONS", "ROLE_BY_SERVICE", "Role", "find_needed_role"]


class Role(StrEnum):
    """What somebody may do; an admin may do all that a reader may."""

    READER = "reader"
    ADMIN = "admin"

    def includes(self, needed: "Role") -> bool:
        """Tell whether whoever has this role may do what needs *needed*."""
        return self is Role.ADMIN or needed is Role.READER


# None is for everybody: whoever probes health has no token, and learns nothing but whether requests are answered.
ROLE_BY_SERVICE: MappingProxyType[str, Role | None] = MappingProxyType(
    {
        "beedex.v1.EmbeddingService": Role.READER,
        "beedex.v1.IndexService": Role.ADMIN,
        "beedex.v1.SearchService": Role.READER,
        "grpc.health.v1.Health": None,
        "grpc.reflection.v1alpha.ServerReflection": Role.READER,
        "inference.GRPCInferenceService": Role.READER,
    }
)

EXCEPTIONS: MappingProxyType[str, Role | None] = MappingProxyType(
    {
        "/beedex.v1.IndexService/GetStatus": Role.READER,
        "/beedex.v1.IndexService/ListSnapshots": Role.READER,
        "/inference.GRPCInferenceService/ModelReady": None,
        "/inference.GRPCInferenceService/ServerLive": None,
        "/inference.GRPCInferenceService/ServerReady": None,
    }
)


def find_needed_role(method: str) -> Role | None:
    """Return the role that a method needs, None for none.

    >>> find_needed_role("/beedex.v1.IndexService/Rebuild")
    <Role.ADMIN: 'admin'>
    """
    service = method.strip("/").partition("/")[0]
    return EXCEPTIONS.get(method, ROLE_BY_SERVICE.get(service, Role.ADMIN))
