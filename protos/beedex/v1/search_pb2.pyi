from beedex.v1 import types_pb2 as _types_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_MATCH: _ClassVar[Verdict]
    VERDICT_AMBIGUOUS: _ClassVar[Verdict]
    VERDICT_UNKNOWN: _ClassVar[Verdict]
VERDICT_UNSPECIFIED: Verdict
VERDICT_MATCH: Verdict
VERDICT_AMBIGUOUS: Verdict
VERDICT_UNKNOWN: Verdict

class FamilyScore(_message.Message):
    __slots__ = ("family", "probability", "similarity")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    family: str
    probability: float
    similarity: float
    def __init__(self, family: _Optional[str] = ..., probability: _Optional[float] = ..., similarity: _Optional[float] = ...) -> None: ...

class IdentifyRequest(_message.Message):
    __slots__ = ("query", "k", "expectation")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    query: _types_pb2.Query
    k: int
    expectation: _types_pb2.Expectation
    def __init__(self, query: _Optional[_Union[_types_pb2.Query, _Mapping]] = ..., k: _Optional[int] = ..., expectation: _Optional[_Union[_types_pb2.Expectation, _Mapping]] = ...) -> None: ...

class IdentifyResponse(_message.Message):
    __slots__ = ("verdict", "family", "probability", "candidates", "reason", "families", "neighbors", "origin")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FAMILIES_FIELD_NUMBER: _ClassVar[int]
    NEIGHBORS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    family: str
    probability: float
    candidates: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    families: _containers.RepeatedCompositeFieldContainer[FamilyScore]
    neighbors: _containers.RepeatedCompositeFieldContainer[_types_pb2.Neighbor]
    origin: _types_pb2.Origin
    def __init__(self, verdict: _Optional[_Union[Verdict, str]] = ..., family: _Optional[str] = ..., probability: _Optional[float] = ..., candidates: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ..., families: _Optional[_Iterable[_Union[FamilyScore, _Mapping]]] = ..., neighbors: _Optional[_Iterable[_Union[_types_pb2.Neighbor, _Mapping]]] = ..., origin: _Optional[_Union[_types_pb2.Origin, _Mapping]] = ...) -> None: ...

class SearchNeighborsRequest(_message.Message):
    __slots__ = ("query", "k", "expectation", "families")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    FAMILIES_FIELD_NUMBER: _ClassVar[int]
    query: _types_pb2.Query
    k: int
    expectation: _types_pb2.Expectation
    families: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, query: _Optional[_Union[_types_pb2.Query, _Mapping]] = ..., k: _Optional[int] = ..., expectation: _Optional[_Union[_types_pb2.Expectation, _Mapping]] = ..., families: _Optional[_Iterable[str]] = ...) -> None: ...

class SearchNeighborsResponse(_message.Message):
    __slots__ = ("neighbors", "origin")
    NEIGHBORS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    neighbors: _containers.RepeatedCompositeFieldContainer[_types_pb2.Neighbor]
    origin: _types_pb2.Origin
    def __init__(self, neighbors: _Optional[_Iterable[_Union[_types_pb2.Neighbor, _Mapping]]] = ..., origin: _Optional[_Union[_types_pb2.Origin, _Mapping]] = ...) -> None: ...

class ListFamiliesRequest(_message.Message):
    __slots__ = ("expectation",)
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    expectation: _types_pb2.Expectation
    def __init__(self, expectation: _Optional[_Union[_types_pb2.Expectation, _Mapping]] = ...) -> None: ...

class Family(_message.Message):
    __slots__ = ("name", "entries")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    entries: int
    def __init__(self, name: _Optional[str] = ..., entries: _Optional[int] = ...) -> None: ...

class ListFamiliesResponse(_message.Message):
    __slots__ = ("families", "origin")
    FAMILIES_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    families: _containers.RepeatedCompositeFieldContainer[Family]
    origin: _types_pb2.Origin
    def __init__(self, families: _Optional[_Iterable[_Union[Family, _Mapping]]] = ..., origin: _Optional[_Union[_types_pb2.Origin, _Mapping]] = ...) -> None: ...

class IdentifyStreamRequest(_message.Message):
    __slots__ = ("correlation_id", "request")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    correlation_id: str
    request: IdentifyRequest
    def __init__(self, correlation_id: _Optional[str] = ..., request: _Optional[_Union[IdentifyRequest, _Mapping]] = ...) -> None: ...

class IdentifyStreamResponse(_message.Message):
    __slots__ = ("correlation_id", "result", "error")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    correlation_id: str
    result: IdentifyResponse
    error: _status_pb2.Status
    def __init__(self, correlation_id: _Optional[str] = ..., result: _Optional[_Union[IdentifyResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class GetPhotoRequest(_message.Message):
    __slots__ = ("entry_id", "max_side_px", "expectation")
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_SIDE_PX_FIELD_NUMBER: _ClassVar[int]
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    entry_id: str
    max_side_px: int
    expectation: _types_pb2.Expectation
    def __init__(self, entry_id: _Optional[str] = ..., max_side_px: _Optional[int] = ..., expectation: _Optional[_Union[_types_pb2.Expectation, _Mapping]] = ...) -> None: ...

class PhotoHeader(_message.Message):
    __slots__ = ("entry", "media_type", "size_bytes", "sha256")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    entry: _types_pb2.Entry
    media_type: str
    size_bytes: int
    sha256: str
    def __init__(self, entry: _Optional[_Union[_types_pb2.Entry, _Mapping]] = ..., media_type: _Optional[str] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...

class GetPhotoResponse(_message.Message):
    __slots__ = ("header", "chunk", "origin")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    header: PhotoHeader
    chunk: bytes
    origin: _types_pb2.Origin
    def __init__(self, header: _Optional[_Union[PhotoHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ..., origin: _Optional[_Union[_types_pb2.Origin, _Mapping]] = ...) -> None: ...
