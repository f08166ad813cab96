"""Forked processes that share this process's data and take over machines' work; one that dies is replaced."""

import gc
import mmap
import multiprocessing
import pickle
import sys
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

from fedjtt.errors import ConfigError, EngineError

ATTEMPTS = 3
BUFFER_BYTES = 1 << 26  # more than LENGTH_BYTES: a message of that size is a length
LENGTH_BYTES = 8


class _Channel:
    """A pipe, and memory that both its ends share: weights do not squeeze through the pipe 64 kB at a time.

    The ends take turns: a task, its answer, the next task. What is larger than the memory goes through the pipe.
    """

    def __init__(self, pipe: Connection, memory: mmap.mmap) -> None:
        self.pipe, self._memory = pipe, memory

    def send(self, value: Any) -> None:
        """Send a value; it is pickled in full before anything is sent."""
        packed = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        if len(packed) > BUFFER_BYTES:
            self.pipe.send_bytes(packed)
            return
        self._memory[: len(packed)] = packed
        self.pipe.send_bytes(len(packed).to_bytes(LENGTH_BYTES, "little"))

    def receive(self) -> Any:
        """Wait for a value."""
        said = self.pipe.recv_bytes()
        if len(said) > LENGTH_BYTES:
            return pickle.loads(said)
        return pickle.loads(self._memory[: int.from_bytes(said, "little")])

    def close(self) -> None:
        """Let go of both."""
        self.pipe.close()
        self._memory.close()


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, handler: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        memory = mmap.mmap(-1, BUFFER_BYTES)  # takes as much as has been written to it
        self.channel = _Channel(self.pipe, memory)
        served = _Channel(theirs, memory)
        self.process: BaseProcess = context.Process(target=_serve, args=(served, self.pipe, handler), daemon=True)
        self.process.start()
        theirs.close()
        self.task: int | None = None

    def stop(self) -> None:
        """End the process, in the middle of its work if need be."""
        self.channel.close()
        self.process.terminate()
        self.process.join()


def _serve(channel: _Channel, parents: Connection, handler: Callable[[Any], Any]) -> None:
    """Answer tasks until the pipe closes, which it also does when the parent dies."""
    parents.close()
    try:
        while True:
            task = channel.receive()
            try:
                answer = (True, handler(task))
            except Exception as error:
                error.add_note(f"raised in worker process {multiprocessing.current_process().pid}")
                answer = (False, error)
            _answer(channel, answer)
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return


def _answer(channel: _Channel, answer: tuple[bool, Any]) -> None:
    try:
        channel.send(answer)
    except (pickle.PicklingError, TypeError, AttributeError) as error:  # nothing has been sent: pickling comes first
        channel.send((False, EngineError(f"a worker's answer cannot be sent: {error}; it was {answer[1]!r}")))


class WorkerPool:
    """A few forked processes; what they need to read was in memory when they were forked, and is shared.

    Parameters
    ----------
    workers : int
        Number of processes.
    handler : callable
        Turns a task into an answer; both must be picklable.

    Raises
    ------
    ConfigError
        Where the system cannot fork.
    """

    def __init__(self, workers: int, handler: Callable[[Any], Any]) -> None:
        if sys.platform == "win32":
            raise ConfigError("workers above 1 need a system that can fork; use workers = 1 or engine = flower")
        self._handler = handler
        # The collector writes to every object that it looks at, and so would copy the pages that are shared.
        gc.freeze()
        self._workers = [_Worker(handler) for _ in range(workers)]

    def map(self, tasks: Sequence[Any], on_answer: Callable[[int], None] | None = None) -> list[Any]:
        """Return the tasks' answers in the tasks' order.

        A task whose worker died is given to another, at most three times in all: a task is a function of its input,
        so the answer is the same.

        Parameters
        ----------
        on_answer : callable or None
            Told how many answers have come, whenever some have.

        Raises
        ------
        EngineError
            When a task has killed three workers.
        """
        answers: dict[int, Any] = {}
        attempts = [0] * len(tasks)
        pending = deque(range(len(tasks)))
        try:
            while len(answers) < len(tasks):
                self._hand_out(tasks, pending, attempts)
                self._collect(answers, pending)
                if on_answer is not None and answers:
                    on_answer(len(answers))
        except BaseException:
            # Answers still under way must not be taken for those of the next call.
            self._workers = [self._replace(worker) for worker in self._workers]
            raise
        return [answers[index] for index in range(len(tasks))]

    def _hand_out(self, tasks: Sequence[Any], pending: deque[int], attempts: list[int]) -> None:
        for worker in self._workers:
            if worker.task is None and pending:
                worker.task = pending.popleft()
                attempts[worker.task] += 1
                if attempts[worker.task] > ATTEMPTS:
                    raise EngineError(
                        f"{ATTEMPTS} worker processes died on the same machine's work (out of memory?); "
                        "use fewer workers or a smaller batch"
                    )
                try:
                    worker.channel.send(tasks[worker.task])
                except ConnectionError:  # died while idle; _collect sees the closed pipe
                    continue

    def _collect(self, answers: dict[int, Any], pending: deque[int]) -> None:
        busy = {worker.pipe: position for position, worker in enumerate(self._workers) if worker.task is not None}
        for pipe in wait(list(busy)):
            position = busy[pipe]  # type: ignore[index]
            worker = self._workers[position]
            if worker.task is None:
                continue
            try:
                good, answer = worker.channel.receive()
            except (EOFError, ConnectionResetError):
                pending.appendleft(worker.task)
                self._workers[position] = self._replace(worker)
                continue
            if not good:
                worker.task = None
                raise answer
            answers[worker.task] = answer
            worker.task = None

    def _replace(self, worker: _Worker) -> _Worker:
        worker.stop()
        return _Worker(self._handler)

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.stop()
        self._workers = []
        gc.unfreeze()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
