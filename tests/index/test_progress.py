"""What long work shows where there is no terminal."""

from beedex.index import progress
from beedex.index.progress import report_progress


def test_a_line_says_how_far_the_work_is_and_what_was_noted(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)

    with report_progress("training", 30) as advance:
        advance(10)
        advance.note("loss 0.1")
        advance(5)

    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("training: 10 of 30, ")
    assert first.endswith("/s")
    assert second.startswith("training: 15 of 30, ")
    assert second.endswith("/s, loss 0.1")


def test_quick_work_prints_nothing(capsys):
    with report_progress("embedding", None) as advance:
        advance(1)
        advance.note("nothing to see")

    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_with_the_note(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")

    with report_progress("training", 30) as advance:
        advance(10)
        advance.note("loss 0.1")

    assert "loss 0.1" in capsys.readouterr().err
