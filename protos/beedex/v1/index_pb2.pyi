from beedex.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatusRequest(_message.Message):
    __slots__ = ("expectation",)
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    expectation: _types_pb2.Expectation
    def __init__(self, expectation: _Optional[_Union[_types_pb2.Expectation, _Mapping]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_photo_bytes", "max_photo_pixels", "max_photo_side_px", "photo_formats", "max_k")
    MAX_PHOTO_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_PHOTO_PIXELS_FIELD_NUMBER: _ClassVar[int]
    MAX_PHOTO_SIDE_PX_FIELD_NUMBER: _ClassVar[int]
    PHOTO_FORMATS_FIELD_NUMBER: _ClassVar[int]
    MAX_K_FIELD_NUMBER: _ClassVar[int]
    max_photo_bytes: int
    max_photo_pixels: int
    max_photo_side_px: int
    photo_formats: _containers.RepeatedScalarFieldContainer[str]
    max_k: int
    def __init__(self, max_photo_bytes: _Optional[int] = ..., max_photo_pixels: _Optional[int] = ..., max_photo_side_px: _Optional[int] = ..., photo_formats: _Optional[_Iterable[str]] = ..., max_k: _Optional[int] = ...) -> None: ...

class Embedder(_message.Message):
    __slots__ = ("fingerprint", "dimension", "backbone", "weights", "weights_note", "calibrated")
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    BACKBONE_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_NOTE_FIELD_NUMBER: _ClassVar[int]
    CALIBRATED_FIELD_NUMBER: _ClassVar[int]
    fingerprint: str
    dimension: int
    backbone: str
    weights: str
    weights_note: str
    calibrated: bool
    def __init__(self, fingerprint: _Optional[str] = ..., dimension: _Optional[int] = ..., backbone: _Optional[str] = ..., weights: _Optional[str] = ..., weights_note: _Optional[str] = ..., calibrated: _Optional[bool] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("version", "entries", "families", "index_kind")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    FAMILIES_FIELD_NUMBER: _ClassVar[int]
    INDEX_KIND_FIELD_NUMBER: _ClassVar[int]
    version: int
    entries: int
    families: int
    index_kind: str
    def __init__(self, version: _Optional[int] = ..., entries: _Optional[int] = ..., families: _Optional[int] = ..., index_kind: _Optional[str] = ...) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("server_version", "embedder", "snapshot", "limits", "origin")
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    EMBEDDER_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    server_version: str
    embedder: Embedder
    snapshot: Snapshot
    limits: Limits
    origin: _types_pb2.Origin
    def __init__(self, server_version: _Optional[str] = ..., embedder: _Optional[_Union[Embedder, _Mapping]] = ..., snapshot: _Optional[_Union[Snapshot, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., origin: _Optional[_Union[_types_pb2.Origin, _Mapping]] = ...) -> None: ...
