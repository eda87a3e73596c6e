"""Fetching: checked, in one step, and never waiting for long."""

from __future__ import annotations

import hashlib
import socket
import threading
from pathlib import Path

import pytest

from archsearch.data.fetch import FetchFailed, fetch


def _served(tmp_path: Path, content: bytes) -> tuple[str, str]:
    (tmp_path / "there").write_bytes(content)
    return (tmp_path / "there").as_uri(), hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_a_file_arrives_whole(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    url, md5 = _served(tmp_path, content)
    fetch(url, tmp_path / "here" / "file", md5=md5)
    assert (tmp_path / "here" / "file").read_bytes() == content


def test_another_file_is_refused_and_not_kept(tmp_path: Path) -> None:
    url, _ = _served(tmp_path, b"something else")
    with pytest.raises(FetchFailed, match="its MD5 differs"):
        fetch(url, tmp_path / "here" / "file", md5="0" * 32)
    assert list((tmp_path / "here").iterdir()) == []


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="No such file"):
        fetch((tmp_path / "absent").as_uri(), tmp_path / "file", md5="0" * 32)


def test_an_address_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="unknown url type"):
        fetch("nonsense", tmp_path / "file", md5="0" * 32)


def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        with pytest.raises(FetchFailed, match=r"no answer within 0\.2 s"):
            fetch(url, tmp_path / "file", md5="0" * 32, patience=0.2)


def test_a_server_that_breaks_off_is_told(tmp_path: Path) -> None:
    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve, args=(listening,))
        server.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/file"
        with pytest.raises(FetchFailed):
            fetch(url, tmp_path / "here" / "file", md5="0" * 32)
        server.join()
    assert list((tmp_path / "here").iterdir()) == []
