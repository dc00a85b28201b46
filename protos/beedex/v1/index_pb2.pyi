import datetime

from beedex.v1 import types_pb2 as _types_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
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
    __slots__ = ("max_photo_bytes", "max_photo_pixels", "max_photo_side_px", "photo_formats", "max_k", "max_message_bytes", "max_stream_items", "stream_window", "max_streams", "max_idle_s", "max_entries", "max_metadata_bytes")
    MAX_PHOTO_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_PHOTO_PIXELS_FIELD_NUMBER: _ClassVar[int]
    MAX_PHOTO_SIDE_PX_FIELD_NUMBER: _ClassVar[int]
    PHOTO_FORMATS_FIELD_NUMBER: _ClassVar[int]
    MAX_K_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_STREAM_ITEMS_FIELD_NUMBER: _ClassVar[int]
    STREAM_WINDOW_FIELD_NUMBER: _ClassVar[int]
    MAX_STREAMS_FIELD_NUMBER: _ClassVar[int]
    MAX_IDLE_S_FIELD_NUMBER: _ClassVar[int]
    MAX_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    MAX_METADATA_BYTES_FIELD_NUMBER: _ClassVar[int]
    max_photo_bytes: int
    max_photo_pixels: int
    max_photo_side_px: int
    photo_formats: _containers.RepeatedScalarFieldContainer[str]
    max_k: int
    max_message_bytes: int
    max_stream_items: int
    stream_window: int
    max_streams: int
    max_idle_s: float
    max_entries: int
    max_metadata_bytes: int
    def __init__(self, max_photo_bytes: _Optional[int] = ..., max_photo_pixels: _Optional[int] = ..., max_photo_side_px: _Optional[int] = ..., photo_formats: _Optional[_Iterable[str]] = ..., max_k: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., max_stream_items: _Optional[int] = ..., stream_window: _Optional[int] = ..., max_streams: _Optional[int] = ..., max_idle_s: _Optional[float] = ..., max_entries: _Optional[int] = ..., max_metadata_bytes: _Optional[int] = ...) -> None: ...

class Embedder(_message.Message):
    __slots__ = ("fingerprint", "dimension", "backbone", "weights", "weights_note", "calibrated", "input_side_px")
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    BACKBONE_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_NOTE_FIELD_NUMBER: _ClassVar[int]
    CALIBRATED_FIELD_NUMBER: _ClassVar[int]
    INPUT_SIDE_PX_FIELD_NUMBER: _ClassVar[int]
    fingerprint: str
    dimension: int
    backbone: str
    weights: str
    weights_note: str
    calibrated: bool
    input_side_px: int
    def __init__(self, fingerprint: _Optional[str] = ..., dimension: _Optional[int] = ..., backbone: _Optional[str] = ..., weights: _Optional[str] = ..., weights_note: _Optional[str] = ..., calibrated: _Optional[bool] = ..., input_side_px: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("server_version", "embedder", "snapshot", "limits", "origin", "load")
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    EMBEDDER_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    server_version: str
    embedder: Embedder
    snapshot: Snapshot
    limits: Limits
    origin: _types_pb2.Origin
    load: Load
    def __init__(self, server_version: _Optional[str] = ..., embedder: _Optional[_Union[Embedder, _Mapping]] = ..., snapshot: _Optional[_Union[Snapshot, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., origin: _Optional[_Union[_types_pb2.Origin, _Mapping]] = ..., load: _Optional[_Union[Load, _Mapping]] = ...) -> None: ...

class Load(_message.Message):
    __slots__ = ("lane_depth", "lane_capacity", "expected_wait_s")
    LANE_DEPTH_FIELD_NUMBER: _ClassVar[int]
    LANE_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_WAIT_S_FIELD_NUMBER: _ClassVar[int]
    lane_depth: int
    lane_capacity: int
    expected_wait_s: float
    def __init__(self, lane_depth: _Optional[int] = ..., lane_capacity: _Optional[int] = ..., expected_wait_s: _Optional[float] = ...) -> None: ...

class ListSnapshotsRequest(_message.Message):
    __slots__ = ("expectation",)
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    expectation: _types_pb2.Expectation
    def __init__(self, expectation: _Optional[_Union[_types_pb2.Expectation, _Mapping]] = ...) -> None: ...

class StoredSnapshot(_message.Message):
    __slots__ = ("version", "fingerprint", "entries", "families", "index_kind", "created_at", "is_current", "damage")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    FAMILIES_FIELD_NUMBER: _ClassVar[int]
    INDEX_KIND_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    IS_CURRENT_FIELD_NUMBER: _ClassVar[int]
    DAMAGE_FIELD_NUMBER: _ClassVar[int]
    version: int
    fingerprint: str
    entries: int
    families: int
    index_kind: str
    created_at: _timestamp_pb2.Timestamp
    is_current: bool
    damage: str
    def __init__(self, version: _Optional[int] = ..., fingerprint: _Optional[str] = ..., entries: _Optional[int] = ..., families: _Optional[int] = ..., index_kind: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., is_current: _Optional[bool] = ..., damage: _Optional[str] = ...) -> None: ...

class ListSnapshotsResponse(_message.Message):
    __slots__ = ("snapshots", "origin")
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    snapshots: _containers.RepeatedCompositeFieldContainer[StoredSnapshot]
    origin: _types_pb2.Origin
    def __init__(self, snapshots: _Optional[_Iterable[_Union[StoredSnapshot, _Mapping]]] = ..., origin: _Optional[_Union[_types_pb2.Origin, _Mapping]] = ...) -> None: ...

class ActivateSnapshotRequest(_message.Message):
    __slots__ = ("version", "expectation")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    version: int
    expectation: _types_pb2.Expectation
    def __init__(self, version: _Optional[int] = ..., expectation: _Optional[_Union[_types_pb2.Expectation, _Mapping]] = ...) -> None: ...

class ActivateSnapshotResponse(_message.Message):
    __slots__ = ("former_version", "origin")
    FORMER_VERSION_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    former_version: int
    origin: _types_pb2.Origin
    def __init__(self, former_version: _Optional[int] = ..., origin: _Optional[_Union[_types_pb2.Origin, _Mapping]] = ...) -> None: ...

class RollbackSnapshotRequest(_message.Message):
    __slots__ = ("expectation",)
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    expectation: _types_pb2.Expectation
    def __init__(self, expectation: _Optional[_Union[_types_pb2.Expectation, _Mapping]] = ...) -> None: ...

class RollbackSnapshotResponse(_message.Message):
    __slots__ = ("former_version", "origin")
    FORMER_VERSION_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    former_version: int
    origin: _types_pb2.Origin
    def __init__(self, former_version: _Optional[int] = ..., origin: _Optional[_Union[_types_pb2.Origin, _Mapping]] = ...) -> None: ...

class RebuildRequest(_message.Message):
    __slots__ = ("expectation",)
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    expectation: _types_pb2.Expectation
    def __init__(self, expectation: _Optional[_Union[_types_pb2.Expectation, _Mapping]] = ...) -> None: ...

class RebuildProgress(_message.Message):
    __slots__ = ("step", "done", "total", "photos_per_s", "remaining_s")
    STEP_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    PHOTOS_PER_S_FIELD_NUMBER: _ClassVar[int]
    REMAINING_S_FIELD_NUMBER: _ClassVar[int]
    step: str
    done: int
    total: int
    photos_per_s: float
    remaining_s: float
    def __init__(self, step: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., photos_per_s: _Optional[float] = ..., remaining_s: _Optional[float] = ...) -> None: ...

class SkippedPhoto(_message.Message):
    __slots__ = ("path", "reason", "message")
    PATH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    path: str
    reason: str
    message: str
    def __init__(self, path: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class RebuildSummary(_message.Message):
    __slots__ = ("entries", "embedded", "reused", "removed", "relabeled", "skipped", "skipped_count", "snapshot", "is_published", "seconds")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    EMBEDDED_FIELD_NUMBER: _ClassVar[int]
    REUSED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    RELABELED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    IS_PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    entries: int
    embedded: int
    reused: int
    removed: int
    relabeled: int
    skipped: _containers.RepeatedCompositeFieldContainer[SkippedPhoto]
    skipped_count: int
    snapshot: int
    is_published: bool
    seconds: float
    def __init__(self, entries: _Optional[int] = ..., embedded: _Optional[int] = ..., reused: _Optional[int] = ..., removed: _Optional[int] = ..., relabeled: _Optional[int] = ..., skipped: _Optional[_Iterable[_Union[SkippedPhoto, _Mapping]]] = ..., skipped_count: _Optional[int] = ..., snapshot: _Optional[int] = ..., is_published: _Optional[bool] = ..., seconds: _Optional[float] = ...) -> None: ...

class RebuildResponse(_message.Message):
    __slots__ = ("progress", "summary", "origin")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    progress: RebuildProgress
    summary: RebuildSummary
    origin: _types_pb2.Origin
    def __init__(self, progress: _Optional[_Union[RebuildProgress, _Mapping]] = ..., summary: _Optional[_Union[RebuildSummary, _Mapping]] = ..., origin: _Optional[_Union[_types_pb2.Origin, _Mapping]] = ...) -> None: ...

class EntryToUpsert(_message.Message):
    __slots__ = ("photo", "entry_id", "family", "path", "group", "species", "source_name", "license", "credit")
    PHOTO_FIELD_NUMBER: _ClassVar[int]
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SPECIES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_NAME_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    photo: bytes
    entry_id: str
    family: str
    path: str
    group: str
    species: str
    source_name: str
    license: str
    credit: str
    def __init__(self, photo: _Optional[bytes] = ..., entry_id: _Optional[str] = ..., family: _Optional[str] = ..., path: _Optional[str] = ..., group: _Optional[str] = ..., species: _Optional[str] = ..., source_name: _Optional[str] = ..., license: _Optional[str] = ..., credit: _Optional[str] = ...) -> None: ...

class UpsertEntriesRequest(_message.Message):
    __slots__ = ("entries", "expectation")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[EntryToUpsert]
    expectation: _types_pb2.Expectation
    def __init__(self, entries: _Optional[_Iterable[_Union[EntryToUpsert, _Mapping]]] = ..., expectation: _Optional[_Union[_types_pb2.Expectation, _Mapping]] = ...) -> None: ...

class EntryOutcome(_message.Message):
    __slots__ = ("entry", "error")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    entry: _types_pb2.Entry
    error: _status_pb2.Status
    def __init__(self, entry: _Optional[_Union[_types_pb2.Entry, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class UpsertEntriesResponse(_message.Message):
    __slots__ = ("outcomes", "origin")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[EntryOutcome]
    origin: _types_pb2.Origin
    def __init__(self, outcomes: _Optional[_Iterable[_Union[EntryOutcome, _Mapping]]] = ..., origin: _Optional[_Union[_types_pb2.Origin, _Mapping]] = ...) -> None: ...

class DeleteEntriesRequest(_message.Message):
    __slots__ = ("entry_ids", "expectation")
    ENTRY_IDS_FIELD_NUMBER: _ClassVar[int]
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    entry_ids: _containers.RepeatedScalarFieldContainer[str]
    expectation: _types_pb2.Expectation
    def __init__(self, entry_ids: _Optional[_Iterable[str]] = ..., expectation: _Optional[_Union[_types_pb2.Expectation, _Mapping]] = ...) -> None: ...

class DeleteEntriesResponse(_message.Message):
    __slots__ = ("outcomes", "origin")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[EntryOutcome]
    origin: _types_pb2.Origin
    def __init__(self, outcomes: _Optional[_Iterable[_Union[EntryOutcome, _Mapping]]] = ..., origin: _Optional[_Union[_types_pb2.Origin, _Mapping]] = ...) -> None: ...
