"""A TCP proxy on the loopback that counts what goes through it, TLS and all."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Counter:
    """Bytes through a proxy: up from the node to the server, down from the server to the node."""

    def __init__(self) -> None:
        self.up, self.down, self.connections = 0, 0, 0

    @property
    def total(self) -> int:
        return self.up + self.down


class _Pump(threading.Thread):
    """Passes one direction of a connection on."""

    def __init__(self, source: socket.socket, sink: socket.socket, counter: Counter, way: str) -> None:
        super().__init__(daemon=True)
        self._source, self._sink, self._counter, self._way = source, sink, counter, way

    def run(self) -> None:
        with suppress(OSError):
            while data := self._source.recv(65536):
                setattr(self._counter, self._way, getattr(self._counter, self._way) + len(data))
                self._sink.sendall(data)
        for end in (self._source, self._sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def counting_proxy(target: int) -> Iterator[tuple[int, Counter]]:
    """Pass connections on to a port of the loopback; give the proxy's own port and its counter."""
    counter, pumps, sockets = Counter(), [], []

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                sockets.append(near)
                far = socket.socket()
                sockets.append(far)
                if far.connect_ex(("127.0.0.1", target)) != 0:
                    near.close()
                    continue
                counter.connections += 1
                pumps.extend([_Pump(near, far, counter, "up"), _Pump(far, near, counter, "down")])
                for pump in pumps[-2:]:
                    pump.start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield int(listening.getsockname()[1]), counter
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            for pump in pumps:
                pump.join()
