"""A PostgreSQL server of one's own that can be stopped and started: in a temporary folder, on a socket there alone."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

PORT = 54321  # names the socket; no TCP port is opened


def programs() -> Path | None:
    """Return the folder of the newest server's programs, which Debian keeps off the PATH; None where none is here."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    where = str(found[-1]) if found else shutil.which("initdb")
    return Path(where).parent if where else None


class PostgresServer:
    """A server from `start` to `close`; `address` is that of its database."""

    def __init__(self) -> None:
        found = programs()
        assert found is not None, "ask `programs` first"
        self.programs = found
        self.folder = Path(tempfile.mkdtemp(prefix="archsearch-pg."))
        self.address = f"postgresql://archsearch@/postgres?host={self.folder}&port={PORT}"
        self._user: str | int | None = None
        if os.getuid() == 0:  # the server refuses to run as root
            names = {entry.pw_name for entry in pwd.getpwall()}
            self._user = "postgres" if "postgres" in names else "nobody"
            shutil.chown(self.folder, self._user)
        options = ["--username", "archsearch", "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        self._call("initdb", "--pgdata", "data", *options)
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        # fsync=off: a process that is killed loses nothing by it, and the folder outlives no test.
        socket = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -p {PORT} -c fsync=off"
        self._call("pg_ctl", "--pgdata", "data", "--log", "log", "--wait", "--timeout", "60", "start", "-o", socket)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: `fast` ends every connection, `immediate` is as if it had been killed."""
        self._call("pg_ctl", "--pgdata", "data", "--wait", "--mode", mode, "stop")

    def close(self) -> None:
        """Stop the server, if it runs, and remove its folder."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _call(self, program: str, *arguments: str) -> None:
        user = {} if self._user is None else {"user": self._user, "group": self._group(), "extra_groups": ()}
        with (self.folder / "calls").open("ab") as log:
            subprocess.run(
                [str(self.programs / program), *arguments],
                cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL, check=True,
                env={**os.environ, "HOME": str(self.folder)}, **user,
            )  # fmt: skip

    def _group(self) -> int:
        return pwd.getpwnam(str(self._user)).pw_gid
