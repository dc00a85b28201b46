"""How far long work is, where there is no terminal to draw on."""

import io

import pytest

from beedex.client.command.progress import report_progress


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def report(total, seconds_each):
    clock, stream = Clock(), io.StringIO()
    with report_progress("photos", total, stream=stream, clock=clock) as progress:
        for _ in range(total):
            clock.now += seconds_each
            progress.advance()
    return stream.getvalue().splitlines()


def test_a_line_comes_now_and_then_with_the_rate_and_the_time_that_is_left():
    assert report(8, 4.0) == [
        "beedex: 3 of 8 photos, 0.2 a second, about 20 s left",
        "beedex: 6 of 8 photos, 0.2 a second, about 8 s left",
    ]


@pytest.mark.parametrize(("total", "seconds_each"), [(1, 60), (1000, 0.009), (0, 1)])
def test_quick_work_and_a_single_photo_are_not_commented(total, seconds_each):
    assert report(total, seconds_each) == []


def test_a_terminal_that_can_not_move_its_cursor_gets_lines(monkeypatch):
    class Dumb(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "dumb")
    stream = Dumb()
    with report_progress("photos", 5, stream=stream, clock=Clock()) as progress:
        progress.advance()
    assert stream.getvalue() == ""
