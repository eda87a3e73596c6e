"""Hosts as network namespaces: own addresses, own names, own folders, and a PostgreSQL server that they reach by TCP.

    with Room(folder) as room:
        alpha = room.host("alpha", 2)
        alpha.start(["-m", "block=normal,dilated"])
        alpha.cut()

Nothing outside the namespaces changes: every link lies between two of them, and they end with the room. Needs root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

CHECKOUT = Path(__file__).resolve().parents[2]
NET = "10.77.0"
PASSWORD = "p@ss w0rd"  # to be quoted in an address, as a generated one is
HOME = "/mnt"  # where each host sees its own folder


def why_not() -> str | None:
    """Return why there can be no room here, or None."""
    if os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "nsenter", "unshare", "setpriv") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (iproute2, util-linux)"
    if postgres_programs() is None:
        return "no PostgreSQL server programs are installed (postgresql)"
    made = subprocess.run(
        ["nsenter", f"--net=/run/netns/{_probe()}", "true"], capture_output=True, text=True, check=False
    )
    subprocess.run(["ip", "netns", "delete", _probe()], capture_output=True, check=False)
    return f"no network namespaces here: {made.stderr.strip()}" if made.returncode else None


def _probe() -> str:
    name = f"as{os.getpid()}probe"
    subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    return name


def postgres_programs() -> Path | None:
    """Return the folder of initdb and pg_ctl; Debian keeps it off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


def run(*command: str | Path) -> str:
    """Return what a command prints; raises with its errors if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}"
    return done.stdout


def wait_for(happened: Callable[[], bool], what: str, seconds: float = 600) -> None:
    """Wait until something has happened; fails with `what` if it does not."""
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, what
        time.sleep(0.2)


@dataclass(slots=True)
class Host:
    """One host: a network namespace with a folder of its own, which no other host sees."""

    room: Room
    name: str
    address: str
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def space(self) -> str:
        """The name of its network namespace."""
        return self.room.space(self.name)

    @property
    def folder(self) -> Path:
        """Its folder as this process sees it; its own programs see it as `HOME`."""
        return self.room.folder / "hosts" / self.name

    def start(
        self, arguments: Sequence[str], *, module: str = "archsearch.run", under: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        """Start a command of archsearch on this host, `under` another program such as faketime; signals reach it."""
        return self.start_program([*under, sys.executable, "-m", module, *arguments])

    def start_program(self, command: Sequence[str], folder: str = HOME) -> subprocess.Popen[str]:
        """Start any program on this host, in `folder` as it sees it."""
        shared = f"mount --bind {self.room.shared} /media && " if self.room.shared else ""
        inside = (
            f"hostname {self.name} && {shared}mount --bind {self.folder} {HOME} && "
            f'mount -t tmpfs none {self.room.folder / "hosts"} && cd {folder} && exec "$@"'
        )
        environment = {**os.environ, "PASSWORD": quote(PASSWORD), "PYTHONPATH": str(CHECKOUT)}
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.space}", "unshare", "--mount", "--uts", "sh", "-c", inside, "sh",
             *command],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        self.started.append(process)
        return process

    def run(self, arguments: Sequence[str], *, module: str = "archsearch.study") -> subprocess.CompletedProcess[str]:
        """Run a command of archsearch on this host to its end."""
        process = self.start(arguments, module=module)
        out, err = process.communicate(timeout=600)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def cut(self) -> None:
        """Pull the host's network cable: packets are lost without a word."""
        run("ip", "-n", self.space, "link", "set", "eth0", "down")

    def mend(self) -> None:
        """Plug it in again."""
        run("ip", "-n", self.space, "link", "set", "eth0", "up")


class Room:
    """Hosts on one switch, and a PostgreSQL server on it at `NET`.1; `shared` is a folder that hosts see as /media."""

    def __init__(self, folder: Path, *, shared: bool = False) -> None:
        self.folder = folder
        self.shared = folder / "shared" if shared else None
        self.hosts: list[Host] = []
        self._programs = postgres_programs()

    def space(self, name: str) -> str:
        """Return the name of the namespace of a host."""
        return f"as{os.getpid()}{name}"

    def __enter__(self) -> Room:
        """Make the switch and start the server."""
        (self.folder / "hosts").mkdir(parents=True)
        if self.shared is not None:
            self.shared.mkdir()
        try:
            self._make_space("db")
            run("ip", "-n", self.space("db"), "link", "add", "switch", "type", "bridge")
            run("ip", "-n", self.space("db"), "addr", "add", f"{NET}.1/24", "dev", "switch")
            run("ip", "-n", self.space("db"), "link", "set", "switch", "up")
            self._start_server()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all programs of the hosts, the server and the namespaces."""
        self.close()

    def close(self) -> None:
        """End all programs of the hosts, the server and the namespaces."""
        for host in self.hosts:
            for process in host.started:
                if process.poll() is None:
                    process.kill()
                process.communicate()
        with contextlib.suppress(AssertionError):
            self._server("pg_ctl", "--pgdata", str(self._data), "--mode", "immediate", "stop")
        for name in ("db", *(host.name for host in self.hosts)):
            for pid in subprocess.run(
                ["ip", "netns", "pids", self.space(name)], capture_output=True, text=True, check=False
            ).stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), 9)  # what a killed command had started
            subprocess.run(["ip", "netns", "delete", self.space(name)], capture_output=True, check=False)

    def host(self, name: str, number: int) -> Host:
        """Return a new host `name` at the address `NET`.`number`."""
        made = Host(self, name, f"{NET}.{number}")
        self.hosts.append(made)
        self._make_space(name)
        made.folder.mkdir()
        plug = f"port{number}"
        run(
            "ip",
            "-n",
            self.space("db"),
            "link",
            "add",
            plug,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            made.space,
        )
        run("ip", "-n", self.space("db"), "link", "set", plug, "master", "switch")
        run("ip", "-n", self.space("db"), "link", "set", plug, "up")
        run("ip", "-n", made.space, "addr", "add", f"{made.address}/24", "dev", "eth0")
        run("ip", "-n", made.space, "link", "set", "eth0", "up")
        return made

    @property
    def storage(self) -> str:
        """The address of the database as a host's command line has it: the password is in PASSWORD."""
        return f"postgresql://searcher:${{oc.env:PASSWORD}}@{NET}.1:5432/postgres"

    @property
    def here(self) -> str:
        """The address of the database for this process, by a socket in a folder."""
        return f"postgresql://searcher@/postgres?host={self.folder / 'db'}&port=5432"

    def restart_server(self) -> None:
        """Stop the server at once, and start it again."""
        self._server("pg_ctl", "--pgdata", str(self._data), "--mode", "fast", "--wait", "restart", "--log", self._log)

    def _make_space(self, name: str) -> None:
        run("ip", "netns", "add", self.space(name))
        run("ip", "-n", self.space(name), "link", "set", "lo", "up")

    @property
    def _data(self) -> Path:
        return self.folder / "db" / "data"

    @property
    def _log(self) -> str:
        return str(self.folder / "db" / "log")

    def _server(self, program: str, *arguments: str) -> None:
        """Run a program of PostgreSQL, which refuses to run as root, in the server's namespace."""
        assert self._programs is not None
        found = subprocess.run(["id", "-u", "postgres"], capture_output=True, text=True, check=False)
        owner = found.stdout.strip() if found.returncode == 0 else "65534"
        if not (self.folder / "db").exists():
            (self.folder / "db").mkdir()
            (self.folder / "db" / "password").write_text(PASSWORD + "\n")
            for one in (self.folder / "db", self.folder / "db" / "password"):
                os.chown(one, int(owner), -1)
        command = ["nsenter", f"--net=/run/netns/{self.space('db')}", "setpriv", f"--reuid={owner}", "--clear-groups"]
        done = subprocess.run(
            [*command, str(self._programs / program), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd="/",
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stdout}"

    def _start_server(self) -> None:
        options = ["--username", "searcher", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        options += ["--auth-local", "trust", "--auth-host", "scram-sha-256", "--pwfile", f"{self.folder}/db/password"]
        self._server("initdb", "--pgdata", str(self._data), *options)
        with (self._data / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {NET}.0/24 scram-sha-256\n")
        settings = f"-c listen_addresses={NET}.1 -c unix_socket_directories={self.folder}/db -c fsync=off"
        arguments = ["--pgdata", str(self._data), "--log", self._log, "--wait", "--options", settings, "start"]
        self._server("pg_ctl", *arguments)
