"""What is shown while work goes on: a bar on a terminal, plain lines elsewhere, and no compilation in the speed."""

import io
import time

from rich.console import Console

from ssni_jax.jobs.progress import Progress
from ssni_jax.jobs.train import ShowSteps


def shown_steps(console, n_steps, every, first=1):
    with ShowSteps("small", n_steps, 4, every, console) as hook:
        for n in range(first, n_steps + 1):
            hook(n, None, {"loss": 0.25})


def test_steps_are_plain_lines_where_there_is_no_terminal():
    text = io.StringIO()
    shown_steps(Console(file=text), 10, 4)
    lines = text.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["4/10", "8/10", "10/10"]
    assert all("loss 0.25" in line and "images/s" in line and "left" in line for line in lines)
    assert "\x1b" not in text.getvalue()


def test_a_bar_is_drawn_on_a_terminal_and_the_cursor_given_back():
    text = io.StringIO()
    shown_steps(Console(file=text, force_terminal=True, width=120), 4, 2)
    assert "4/4 steps" in text.getvalue()
    assert text.getvalue().rfind("\x1b[?25h") > text.getvalue().rfind("\x1b[?25l")


def test_steps_of_an_earlier_run_and_compilation_do_not_count_as_speed():
    text = io.StringIO()
    with Progress("toy", 100, "images", lambda: "so far", Console(file=text), pause_s=0.0) as progress:
        progress.compiling()
        time.sleep(0.2)
        progress.start(90)
        time.sleep(0.05)
        progress.advance(5)
        assert 5 < progress.speed <= 100
    lines = text.getvalue().splitlines()
    assert lines[0] == "toy: compiling, then 100 images"
    assert lines[1].startswith("toy: 95/100 images  ") and lines[1].endswith("so far")
