"""A Ctrl-C ends the command with its sentence, also where what it raised was swallowed on the way."""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isoflop.cli import app, main
from isoflop.cli.interruption import unswallowed

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no timer to say it again")
SENTENCE = "isoflop: interrupted; run the same command again to continue.\n"


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ctrl-C as a terminal's program hears it, and no word about exceptions that Python drops."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _dropped: None)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Dying:
    """What presses Ctrl-C when it is deleted."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def while_something_is_deleted() -> None:
    Dying()


def in_a_callback() -> None:
    lock = threading.Event()
    reference = weakref.ref(lock, lambda _: signal.raise_signal(signal.SIGINT))
    del lock
    assert reference() is None


def where_all_errors_are_caught() -> None:
    with contextlib.suppress(BaseException):  # as a bare `except` does
        signal.raise_signal(signal.SIGINT)


def wait() -> None:
    """Far longer than it takes."""
    for _ in range(6000):
        time.sleep(0.01)


def command(work: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of `isoflop` with a verb that does `work`, and then works for a long time."""

    def verb() -> None:
        work()
        print("went on")
        wait()

    monkeypatch.setattr(app, "app", verb)
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


@pytest.mark.parametrize("swallow", [while_something_is_deleted, in_a_callback, where_all_errors_are_caught])
def test_what_was_swallowed_ends_the_command_all_the_same(
    swallow: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(swallow, monkeypatch) == 130
    assert capsys.readouterr() == ("went on\n", SENTENCE)


@pytest.mark.parametrize(("presses", "said"), [(1, "imported\nwent on\n"), (2, "")])
def test_an_import_is_finished_first_unless_it_is_pressed_twice(
    presses: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    press = "signal.raise_signal(signal.SIGINT)\n" * presses
    name = f"pressing_{presses}"
    (tmp_path / f"{name}.py").write_text(
        f"import signal\n{press}signal.raise_signal(signal.SIGALRM)\nprint('imported')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert command(lambda: importlib.import_module(name), monkeypatch) == 130
    assert capsys.readouterr() == (said, SENTENCE)


def test_it_is_said_until_it_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf() -> None:
        where_all_errors_are_caught()
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGALRM)

    assert command(deaf, monkeypatch) == 130


def test_it_is_not_said_again_while_all_is_put_in_order() -> None:
    steps = []

    def interrupted() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            try:
                signal.raise_signal(signal.SIGALRM)
                raise ValueError("something else on the way")
            except ValueError:
                signal.raise_signal(signal.SIGALRM)
            steps.append("in order")

    with pytest.raises(KeyboardInterrupt), unswallowed():
        interrupted()
    assert steps == ["in order"]


def test_afterwards_signals_are_as_before() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(KeyboardInterrupt), unswallowed():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_ctrl_c_that_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with unswallowed():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
