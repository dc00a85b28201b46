"""The committed protocol: generated from the .proto files beside it, clean by buf's rules, documented by code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.rpc import status_pb2

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos"
PROTO_FILES = sorted(PROTOS.glob("beedex/*/*.proto"))
OWN_FILES = sorted(PROTOS.glob("beedex/v1/*.proto"))
# Where googleapis-common-protos puts the .proto files that ours import.
GOOGLEAPIS = Path(status_pb2.__file__).parents[2]

RPC = re.compile(r"((?:^ +//.*\n)+) +rpc (\w+)\((stream )?", re.MULTILINE)


def test_the_committed_code_is_what_the_proto_files_generate(tmp_path):
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"-I{GOOGLEAPIS}"]
    command += [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python", "mypy_grpc")]
    plugin = Path(sys.executable).with_name("protoc-gen-mypy_grpc")
    command += [f"--plugin=protoc-gen-mypy_grpc={plugin}", *map(str, PROTO_FILES)]

    subprocess.run(command, check=True, capture_output=True)
    generated = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.glob("beedex/*/*")}
    committed = {path.relative_to(PROTOS): path.read_bytes() for path in PROTOS.glob("beedex/*/*_pb2*")}

    assert committed == generated


def test_buf_lint_finds_nothing():
    done = subprocess.run(["make", "proto-lint"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607 - make is wherever the person has it

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", OWN_FILES, ids=lambda path: path.name)
def test_every_rpc_lists_the_codes_that_any_call_can_end_in(path):
    rpcs = RPC.findall(path.read_text())

    assert len(rpcs) == path.read_text().count("  rpc ")
    for comment, name, is_stream in rpcs:
        # Of a stream, what is expected is said by each item.
        for code in ("UNAUTHENTICATED", "UNAVAILABLE", "INTERNAL", *([] if is_stream else ["FAILED_PRECONDITION"])):
            assert f"// {code}: " in comment, name


def test_importing_the_protocol_leaves_no_module_at_top_level():
    code = "import sys, beedex.v1.search_pb2_grpc; print(*[name for name in sys.modules if '_pb2' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = done.stdout.split()

    assert "beedex.v1.search_pb2" in modules
    assert [name for name in modules if not name.startswith(("beedex.v1.", "google."))] == []
