from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Vector(_message.Message):
    __slots__ = ("values", "dimension")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    values: bytes
    dimension: int
    def __init__(self, values: _Optional[bytes] = ..., dimension: _Optional[int] = ...) -> None: ...

class Query(_message.Message):
    __slots__ = ("photo", "vector", "entry_id")
    PHOTO_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    photo: bytes
    vector: Vector
    entry_id: str
    def __init__(self, photo: _Optional[bytes] = ..., vector: _Optional[_Union[Vector, _Mapping]] = ..., entry_id: _Optional[str] = ...) -> None: ...

class Expectation(_message.Message):
    __slots__ = ("fingerprint", "snapshot")
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    fingerprint: str
    snapshot: int
    def __init__(self, fingerprint: _Optional[str] = ..., snapshot: _Optional[int] = ...) -> None: ...

class Origin(_message.Message):
    __slots__ = ("fingerprint", "snapshot")
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    fingerprint: str
    snapshot: int
    def __init__(self, fingerprint: _Optional[str] = ..., snapshot: _Optional[int] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("entry_id", "family", "path", "group", "species", "source", "license", "credit")
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SPECIES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    entry_id: str
    family: str
    path: str
    group: str
    species: str
    source: str
    license: str
    credit: str
    def __init__(self, entry_id: _Optional[str] = ..., family: _Optional[str] = ..., path: _Optional[str] = ..., group: _Optional[str] = ..., species: _Optional[str] = ..., source: _Optional[str] = ..., license: _Optional[str] = ..., credit: _Optional[str] = ...) -> None: ...

class Neighbor(_message.Message):
    __slots__ = ("entry", "similarity")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    entry: Entry
    similarity: float
    def __init__(self, entry: _Optional[_Union[Entry, _Mapping]] = ..., similarity: _Optional[float] = ...) -> None: ...
