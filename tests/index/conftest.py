"""What several of the index's tests need: an index, a process that uses one, and a program that kills builds."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from beedex.index.rebuild import build_index


@pytest.fixture(scope="session")
def tiny_index(tiny_gallery, tiny_bundle, tmp_path_factory):
    """Read only: tests that change it copy it."""
    path = tmp_path_factory.mktemp("tiny") / "index"
    build_index(tiny_gallery, tiny_bundle, path)
    return path


@pytest.fixture
def tiny_index_copy(tiny_index, tmp_path):
    """An index of one's own to change."""
    return Path(shutil.copytree(tiny_index, tmp_path / "index"))


def write_older(index_dir, version, schema_version):
    """Make a snapshot what an earlier beedex would have written."""
    directory = index_dir / "snapshots" / f"{version:06}"
    fields = json.loads((directory / "manifest.json").read_bytes())
    del fields["checksum"], fields["map"], fields["files"]["map.npy"]
    if schema_version < 2:
        del fields["search_settings"], fields["search_plan"]
    fields["schema_version"] = schema_version
    checksum = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    document = json.dumps({**fields, "checksum": checksum}, indent=2, ensure_ascii=False)
    (directory / "manifest.json").write_text(f"{document}\n")
    (directory / "map.npy").unlink()


@pytest.fixture
def make_older():
    """Of a snapshot, what an earlier beedex would have written: ``make_older(index_dir, version, schema_version)``."""
    return write_older


class Killer:
    """Starts builds that are killed; see killed_builds.py."""

    def __init__(self, gallery, bundle):
        program = Path(__file__).with_name("killed_builds.py")
        self._process = subprocess.Popen(
            [sys.executable, program, gallery, bundle], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def build(self, index_dir, how, amount):
        """The signal that ended the build, and the number of its file operations."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{index_dir} {how} {amount}\n")
        self._process.stdin.flush()
        ended_by, events = map(int, self._process.stdout.readline().split())
        return ended_by, events

    def close(self):
        self._process.communicate(timeout=30)


@pytest.fixture
def killer(tiny_gallery, tiny_bundle):
    killer = Killer(tiny_gallery, tiny_bundle)
    yield killer
    killer.close()


# Holds an index open and does what it is told, one line each; photos are files.
OTHER_PROCESS = """
import sys
from pathlib import Path
from beedex.index.index import Index
from beedex.index.rebuild import build_index
from beedex.index.snapshots import rollback_snapshot

index = None
for line in sys.stdin:
    deed, *words = line.rstrip("\\n").split("\\t")
    if deed == "open":
        if index is not None:
            index.close()
        index = Index.open(words[0])
        print("opened", flush=True)
    elif deed == "nearest":
        (found,) = index.neighbors(words[0], 1)
        print(found.entry.entry_id, found.entry.family, f"{found.similarity:.4f}", index.version, flush=True)
    elif deed == "count":
        print(sum(index.families().values()), flush=True)
    elif deed == "build":
        print(build_index(Path(words[0]), Path(words[1]), index.directory).snapshot, flush=True)
    elif deed == "rollback":
        print(rollback_snapshot(index.directory), flush=True)
    else:
        print(getattr(index, deed)(*words).entry_id, flush=True)
"""


class OtherProcess:
    def __init__(self):
        command = [sys.executable, "-c", OTHER_PROCESS]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def do(self, *words):
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\t".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()


@pytest.fixture(scope="session")
def other_program():
    other = OtherProcess()
    yield other
    other.process.communicate(timeout=30)


@pytest.fixture
def other_process(other_program, tiny_index_copy):
    """A process that holds the copied index open."""
    assert other_program.do("open", tiny_index_copy) == ["opened"]
    return other_program
