"""The committed protocol: generated from the .proto files beside it, clean by buf's rules, documented by code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROTO_DIR = ROOT / "protos" / "beedex" / "v1"
PROTO_FILES = sorted(PROTO_DIR.glob("*.proto"))

RPC = re.compile(r"((?:^ +//.*\n)+) +rpc (\w+)\(", re.MULTILINE)


def test_the_committed_code_is_what_the_proto_files_generate(tmp_path):
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'protos'}"]
    command += [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python", "mypy_grpc")]
    plugin = Path(sys.executable).with_name("protoc-gen-mypy_grpc")
    command += [f"--plugin=protoc-gen-mypy_grpc={plugin}", *map(str, PROTO_FILES)]

    subprocess.run(command, check=True, capture_output=True)
    generated = {path.name: path.read_bytes() for path in (tmp_path / "beedex" / "v1").iterdir()}
    committed = {path.name: path.read_bytes() for path in PROTO_DIR.glob("*_pb2*")}

    assert committed == generated


def test_buf_lint_finds_nothing():
    done = subprocess.run(
        [Path(sys.executable).with_name("buf"), "lint"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", PROTO_FILES, ids=lambda path: path.name)
def test_every_rpc_lists_the_codes_that_any_call_can_end_in(path):
    rpcs = RPC.findall(path.read_text())

    assert len(rpcs) == path.read_text().count("  rpc ")
    for comment, name in rpcs:
        for code in ("FAILED_PRECONDITION", "UNAVAILABLE", "INTERNAL"):
            assert f"// {code}: " in comment, name


def test_importing_the_protocol_leaves_no_module_at_top_level():
    code = "import sys, beedex.v1.search_pb2_grpc; print(*[name for name in sys.modules if '_pb2' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = done.stdout.split()

    assert "beedex.v1.search_pb2" in modules
    assert [name for name in modules if not name.startswith(("beedex.v1.", "google."))] == []
