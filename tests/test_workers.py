"""Forked workers: order, errors, deaths, and nothing left behind."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedjtt import workers
from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError, EngineError
from fedjtt.workers import ATTEMPTS, BUFFER_BYTES, LENGTH_BYTES, WorkerPool


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_answers_stand_in_the_order_of_the_tasks() -> None:
    def slow_first(task: int) -> int:
        time.sleep(0.1 if task == 0 else 0)
        return task * task

    with WorkerPool(2, slow_first) as pool:
        assert pool.map(range(7)) == [0, 1, 4, 9, 16, 25, 36]
        assert pool.map([]) == []


def test_what_was_in_memory_when_they_were_forked_is_shared() -> None:
    held = {"secret": 41}
    with WorkerPool(2, lambda task: held["secret"] + task) as pool:
        assert pool.map([1]) == [42]


def test_an_exception_is_raised_here_and_the_pool_lives_on() -> None:
    def picky(task: int) -> int:
        if task == 1:
            raise ValueError("task 1 is bad")
        time.sleep(0.05)
        return task

    with WorkerPool(2, picky) as pool:
        with pytest.raises(ValueError, match="task 1 is bad") as caught:
            pool.map([0, 1, 2, 3])
        assert "raised in worker process" in caught.value.__notes__[0]
        # A late answer to the first call would show up here.
        assert pool.map([5, 6, 7]) == [5, 6, 7]


@pytest.mark.parametrize("make", [lambda: threading.Lock(), lambda: lambda: None])
def test_an_answer_that_cannot_be_sent_is_an_error_not_a_death(make: Callable[[], Any]) -> None:
    with WorkerPool(1, lambda task: make()) as pool, pytest.raises(EngineError, match="cannot be sent"):  # noqa: ARG005
        pool.map([0])


def test_a_worker_that_dies_is_replaced_and_its_task_repeated(tmp_path: Path) -> None:
    def dies_once(task: int) -> int:
        marker = tmp_path / f"{task}"
        if task in (1, 2) and not marker.exists():
            marker.touch()
            die()
        return task

    with WorkerPool(2, dies_once) as pool:
        assert pool.map(range(5)) == list(range(5))
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2"}


def test_a_worker_killed_between_two_calls_is_replaced() -> None:
    with WorkerPool(2, lambda task: (os.getpid(), task)) as pool:
        first, _ = pool.map([0])[0]
        os.kill(first, signal.SIGKILL)
        answers = pool.map(range(4))
        assert [task for _, task in answers] == [0, 1, 2, 3]
        assert first not in {pid for pid, _ in answers}


@pytest.mark.parametrize("shared_bytes", [LENGTH_BYTES, 5_000, BUFFER_BYTES])
def test_answers_larger_and_smaller_than_the_shared_memory_come_back_whole(
    monkeypatch: pytest.MonkeyPatch, shared_bytes: int
) -> None:
    monkeypatch.setattr(workers, "BUFFER_BYTES", shared_bytes)
    sizes = [0, 1, 4_000, 6_000, 1_000_000, 3]
    with WorkerPool(2, lambda size: bytes(size)) as pool:
        assert pool.map(sizes) == [bytes(size) for size in sizes]


@pytest.mark.parametrize("shared_bytes", [1_000, BUFFER_BYTES])
def test_a_worker_that_dies_while_a_large_task_is_sent_is_replaced(
    monkeypatch: pytest.MonkeyPatch, shared_bytes: int
) -> None:
    monkeypatch.setattr(workers, "BUFFER_BYTES", shared_bytes)
    with WorkerPool(1, lambda task: (os.getpid(), len(task))) as pool:
        pid, _ = pool.map([b""])[0]
        os.kill(pid, signal.SIGSTOP)  # reads no more, so that the task stands half in the pipe when it is killed
        threading.Timer(0.2, os.kill, (pid, signal.SIGKILL)).start()
        assert pool.map([b"x" * 10_000_000])[0][1] == 10_000_000


def test_a_task_that_kills_every_worker_is_given_up(tmp_path: Path) -> None:
    def deadly(task: int) -> int:
        if task == 1:
            (tmp_path / str(time.monotonic_ns())).touch()
            die()
        return task

    with WorkerPool(2, deadly) as pool:
        with pytest.raises(EngineError, match="3 worker processes died on the same machine's work"):
            pool.map(range(4))
        assert pool.map([0, 2]) == [0, 2]
    assert len(list(tmp_path.iterdir())) == ATTEMPTS


def test_no_process_outlives_the_pool() -> None:
    with WorkerPool(3, lambda task: os.getpid()) as pool:  # noqa: ARG005
        pids = set(pool.map(range(9)))
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_the_workers_end_when_their_parent_is_killed() -> None:
    """A worker's pipe closes with its parent, although its younger siblings inherit the other end of it."""
    read, write = os.pipe()
    parent = os.fork()
    if parent == 0:
        pool = WorkerPool(3, lambda task: (time.sleep(0.05), os.getpid(), task)[1])
        os.write(write, " ".join(map(str, set(pool.map(range(9))))).encode())
        die()
    os.waitpid(parent, 0)
    pids = [int(pid) for pid in os.read(read, 100).split()]
    os.close(read)
    os.close(write)
    assert pids
    deadline = time.monotonic() + 10
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_threads_in_forked_workers_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"workers is 2 and threads is 2: torch's threads hang"):
        RunConfig.parse({"workers": 2, "threads": 2})
    RunConfig.parse({"workers": 2, "threads": 2, "engine": "flower"})
