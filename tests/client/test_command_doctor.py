"""The command that looks at this machine."""

import json
import os
import subprocess
import sys

import pytest

from beedex.client.command import main
from beedex.client.command.doctor import examine_extras, examine_library, examine_terminal, examine_weights

FEW = {"grpcio": "grpc", "numpy": "numpy", "rich": "rich"}


@pytest.fixture(autouse=True)
def few_libraries(monkeypatch):
    """Importing TensorFlow takes seconds."""
    monkeypatch.setattr("beedex.client.command.doctor.LIBRARIES", FEW)


def examine(capsys, *words):
    code = main(["doctor", *words, "--json"])
    captured = capsys.readouterr()
    assert captured.err == ""
    return code, json.loads(captured.out)


def test_all_that_is_installed_works_and_the_server_answers(address, capsys):
    code, found = examine(capsys, "--target", address)

    assert (code, found["ok"], found["faults"]) == (0, True, [])
    assert [library["name"] for library in found["libraries"]] == list(FEW)
    assert all(library["version"] and not library["fault"] for library in found["libraries"])
    server = found["server"]
    assert (server["health"], server["entries"], server["snapshot"], server["tls"]) == ("SERVING", 18, 1, False)
    assert len(server["fingerprint"]) == 64


def test_a_server_that_nobody_named_is_no_fault_and_one_that_was_named_is(dead_address, monkeypatch, capsys):
    code, found = examine(capsys, "--target", dead_address)
    assert (code, found["ok"], found["server"]["health"]) == (1, False, "UNREACHABLE")
    assert found["faults"] == [found["server"]["error"]]

    monkeypatch.setattr("beedex.client.command.doctor_commands.DEFAULT_TARGET", dead_address)
    code, found = examine(capsys, "--target", dead_address)
    assert (code, found["ok"], found["server"]["health"]) == (0, True, "UNREACHABLE")


def test_where_a_token_is_from_is_told_and_the_token_is_not(address, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("BEEDEX_TOKEN", "s3cr3t")
    main(["doctor", "--target", address])
    printed = "".join(capsys.readouterr())
    assert "token: variable" in printed
    assert "s3cr3t" not in printed

    _, found = examine(capsys, "--target", address, "--token-file", str(tmp_path / "none"))
    assert found["server"].items() >= {"token": "file", "health": "UNREACHABLE"}.items()
    assert "can't be read" in found["server"]["error"]


def test_a_library_that_can_not_be_imported_is_a_fault_that_names_it(monkeypatch, capsys):
    monkeypatch.setattr("beedex.client.command.doctor.LIBRARIES", {"numpy": "numpy.no_such_part"})
    code, found = examine(capsys)

    assert code == 1
    assert found["faults"] == ["numpy can't be imported: ModuleNotFoundError: No module named 'numpy.no_such_part'"]


def test_what_can_not_even_be_looked_at_is_a_fault_and_the_rest_is_told(monkeypatch, capsys):
    # Longer than any file's name may be.
    monkeypatch.setenv("KERAS_HOME", "/" + "x" * 5000)
    code, found = examine(capsys)

    assert code == 1
    assert len(found["faults"]) == 1
    assert found["faults"][0].startswith("the weights can't be looked at: ")
    assert [library["name"] for library in found["libraries"]] == list(FEW)


@pytest.mark.parametrize("module", ["no.such.module", "os; os._exit(3)", "os; os.abort()"])
def test_however_a_library_breaks_the_doctor_goes_on(module):
    examined = examine_library("numpy", module)

    assert examined["version"]
    assert examined["fault"]


def test_an_extra_lacks_what_its_requirements_name():
    extras = examine_extras(
        ["numpy>=2", "rich>=14; extra == 'a'", "No-Such.Thing[x]>=1,<2; extra == 'b'", "numpy; extra == 'b'"]
    )

    assert [(extra["name"], extra["missing"]) for extra in extras] == [("a", []), ("b", ["No-Such.Thing"])]
    assert extras[1]["get"] == "pip install 'beedex[b]'"


def test_the_weights_are_looked_for_where_keras_keeps_them(tmp_path):
    file = tmp_path / "models" / "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
    assert examine_weights({"KERAS_HOME": str(tmp_path)})[0]["path"] is None
    file.parent.mkdir()
    file.touch()

    assert examine_weights({"KERAS_HOME": str(tmp_path)})[0]["path"] == str(file)


def test_what_is_no_terminal_shows_nothing():
    assert examine_terminal({"TERM": "xterm-kitty"}, is_terminal=False)["pictures"] == "none"
    assert examine_terminal({"TERM": "xterm-kitty"}, is_terminal=True)["pictures"] == "kitty"


@pytest.mark.slow
def test_with_all_libraries_it_tells_people_what_there_is(address):
    command = [sys.executable, "-m", "beedex.client", "doctor", "--target", address]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "80"})

    assert (done.returncode, done.stderr) == (0, "")
    for word in ("tensorflow", "faiss-cpu", "openvino", "bundled", "SERVING", "All that is installed works."):
        assert word in done.stdout
