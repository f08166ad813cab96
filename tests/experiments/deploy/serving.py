"""A server that is no SuperLink but answers as one would where ``deploy check`` asks, with any certificate."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from experiments.deploy.certificates import Signed

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@contextmanager
def serving(folder: Path, signed: Signed | None, answer: bytes = OK) -> Iterator[int]:
    """Answer every connection until the end; None: without TLS."""
    context = None
    if signed is not None:
        (folder / "serving.pem").write_bytes(signed.certificate_pem + signed.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "serving.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_serve, args=(listening, context, answer))
        thread.start()
        port = int(listening.getsockname()[1])
        try:
            yield port
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listening: socket.socket, context: ssl.SSLContext | None, answer: bytes) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection, suppress(OSError):
            connection.settimeout(5)
            if context is None:
                connection.recv(4096)
                connection.sendall(answer)
            else:
                with context.wrap_socket(connection, server_side=True) as secure:
                    secure.recv(4096)
                    secure.sendall(answer)
