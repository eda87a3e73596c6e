"""The long form of the fault tests: `make faults`, or `python tests/faults/run_all.py [--kills 200] [--seed 0]`.

Kills at random moments over runs and sweeps on SQLite and PostgreSQL, kills before and after every change of a file
and every commit, signals, and disturbances of the environment. Starts its own PostgreSQL where one is installed, and
mounts small file systems where it may; what it cannot do it lists. Prints tables in Markdown and writes them to --out;
exit code 1 where anything is wrong.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))
from environment import DISTURBANCES, Place, can_mount
from lab import (
    ASKED,
    Lab,
    Reference,
    Warm,
    kill_at_point,
    kill_at_random,
    measure,
    signal_at_random,
)
from postgres_server import PostgresServer, programs

from archsearch.processor import processor_name

# Of two hundred kills, how many each kind of command gets, by database.
SHARES = {
    ("run", "SQLite"): 40, ("run", "PostgreSQL"): 20, ("list", "SQLite"): 20, ("search", "SQLite"): 40,
    ("search", "PostgreSQL"): 40, ("workers", "SQLite"): 20, ("workers", "PostgreSQL"): 20,
}  # fmt: skip
KILLS_OF_ONE = {"run": 2, "list": 3, "search": 3, "workers": 3}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NAMES = {
    "run": "single run",
    "list": "list of 3 designs",
    "search": "search of 3",
    "workers": "search of 4, two workers",
}


@dataclass
class Tally:
    """What one row of a table counts."""

    disturbances: int = 0
    commands: int = 0
    trials: int = 0
    faults: list[str] = field(default_factory=list)


class Campaign:
    """The warm processes, one per thread, the folders, and the rows."""

    def __init__(self, folder: Path, server: PostgresServer | None, seed: int) -> None:
        self.folder, self.server, self.seed = folder, server, seed
        self.rows: dict[tuple[str, str, str], Tally] = {}
        self._local, self._lock, self._number = threading.local(), threading.Lock(), 0
        self._warm: list[Warm] = []
        self.reference = Reference()

    @property
    def warm(self) -> Warm:
        """The warm process of this thread."""
        if not hasattr(self._local, "warm"):
            with self._lock:
                self._local.warm = Warm(self.new_folder())
                self._warm.append(self._local.warm)
            modules = self.folder / "reference" / "modules.json"
            if modules.exists():
                self._local.warm.preload(modules)
        return self._local.warm

    def new_folder(self) -> Path:
        """Return an empty folder."""
        self._number += 1
        return Path(tempfile.mkdtemp(dir=self.folder, prefix=f"{self._number:04d}-"))

    def storage(self, database: str) -> str:
        """Return the address of a study on a kind of database."""
        if database == "SQLite":
            return "sqlite:///outputs/studies.db"
        assert self.server is not None, "rows without a server are left out"
        return self.server.address

    def try_one(self, how: str, kind: str, database: str, disturb: Callable[[Lab], int]) -> None:
        """Disturb one command, let it finish, check, and count."""
        lab = Lab(self.warm, self.new_folder(), kind, self.storage(database))
        count = disturb(lab)
        lab.finish()
        found = lab.check(self.reference)
        with self._lock:
            row = self.rows.setdefault((how, kind, database), Tally())
            row.disturbances += count
            row.commands += len(lab.commands)
            row.trials += ASKED[kind]
            row.faults += [f"{lab.folder.name}: {each}" for each in found]
            done = sum(each.disturbances for each in self.rows.values())
        if done // 20 > (done - count) // 20:
            _note(f"{done} disturbances so far")
        for each in found:
            _note(f"{how}, {kind}, {database}, {lab.folder.name}: {each}")

    def count(self, how: str, kind: str, database: str) -> int:
        """Return how many disturbances a row has."""
        return self.rows[how, kind, database].disturbances if (how, kind, database) in self.rows else 0

    def close(self) -> None:
        """End the warm processes."""
        for warm in self._warm:
            warm.close()


def random_kills(campaign: Campaign, kind: str, database: str, kills: int) -> None:
    """Kill commands of one kind until so many kills met one that ran."""
    rng = random.Random(f"{campaign.seed} {kind} {database}")
    length = campaign.reference.seconds[kind]
    for _ in range(3 * kills):
        left = kills - campaign.count("killed at a random moment", kind, database)
        if left <= 0:
            return
        parts = kind == "workers" and rng.random() < 0.5
        campaign.try_one(
            "killed at a random moment", kind, database,
            lambda lab: kill_at_random(lab, length, min(left, KILLS_OF_ONE[kind]), rng, whole=not parts),  # noqa: B023
        )  # fmt: skip


def point_kills(campaign: Campaign, kind: str, database: str, most: int | None) -> None:
    """Kill commands of one kind at the points that one of them passes, all or `most` of them spread evenly."""
    points = campaign.reference.points[kind]
    if most is not None and most < len(points):
        points = [points[int((each + 0.5) * len(points) / most)] for each in range(most)]
    for point in points:
        campaign.try_one("killed at a named point", kind, database, lambda lab: int(kill_at_point(lab, point)))  # noqa: B023


def signals(campaign: Campaign, kind: str, database: str, each: int) -> None:
    """Send the signals that users and schedulers send."""
    rng = random.Random(f"{campaign.seed} {kind} {database} signals")
    for number in SIGNALS:
        for _ in range(each):
            campaign.try_one(
                f"signal {number.name}", kind, database,
                lambda lab: signal_at_random(lab, campaign.reference.seconds[kind], number, rng) or 1,  # noqa: B023
            )  # fmt: skip


def disturb(campaign: Campaign, names: str) -> list[tuple[str, str, list[str]]]:
    """Try all disturbances of the environment that can be made here; return name, `tried` or why not, and faults."""
    found: list[tuple[str, str, list[str]]] = []
    server = PostgresServer() if programs() is not None else None
    has = {"": True, "disk": can_mount(), "server": server is not None}
    missing = {
        "disk": "not tried: needs root, to mount a small disk",
        "server": "not tried: no PostgreSQL is installed",
    }
    for each in DISTURBANCES:
        if names not in each.name:
            continue
        if not has[each.needs]:
            found.append((each.name, missing[each.needs], []))
            continue
        folder = campaign.new_folder()
        try:
            faults = each.run(Place(campaign.warm, folder, campaign.reference, server))
        except Exception as error:  # noqa: BLE001  (one that cannot be made must not end the others)
            faults = [f"the test itself failed: {type(error).__name__}: {error}"]
        found.append((each.name, "tried", faults))
        for fault in faults:
            _note(f"{each.name}, {folder.name}: {fault}")
    if server is not None:
        server.close()
    return found


def report(campaign: Campaign, environment: list[tuple[str, str, list[str]]], seconds: float) -> str:
    """Return the tables as Markdown."""
    rows = sorted(campaign.rows.items())
    names = ("disturbance", "command", "database", "how often", "commands given", "trials asked for", "faults")
    lines = _table(*names) if rows else []
    for (how, kind, database), row in rows:
        numbers = (row.disturbances, row.commands, row.trials, len(row.faults))
        lines.append(_line(how, NAMES[kind], database, *numbers))
    totals = [sum(getattr(row, name) for _, row in rows) for name in ("disturbances", "commands", "trials")]
    if rows:
        lines.append(_line("**all**", "", "", *totals, sum(len(row.faults) for _, row in rows)))
    if environment:
        lines += ["", *_table("disturbance of the environment", "found")]
        for name, tried, faults in environment:
            found = "; ".join(map(_brief, faults)) or "nothing wrong"
            lines.append(_line(name, found if tried == "tried" else tried))
    listed = [f"- {how}, {NAMES[kind]}, {database}: {_brief(each)}" for (how, kind, database), row in rows
              for each in row.faults]  # fmt: skip
    if listed:
        lines += ["", "Faults:", "", *listed]
    server = "PostgreSQL" if campaign.server is not None else "no PostgreSQL"
    machine = f"{processor_name()}, {os.cpu_count()} cores, Python {platform.python_version()}, {server}"
    lines += ["", f"{machine}, seed {campaign.seed}; took {seconds / 60:.0f} minutes."]
    return "\n".join(lines) + "\n"


def _table(*names: str) -> list[str]:
    return [_line(*names), f"|{'---|' * len(names)}"]


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _brief(fault: str) -> str:
    text = " ".join(fault.split()).replace("|", "/")
    return text if len(text) <= 200 else f"{text[:200]}..."


def main() -> int:
    """Run everything that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="at random moments")
    parser.add_argument("--points", type=int, default=40, help="kills at named points for each kind; 0: none")
    parser.add_argument("--every-point", action="store_true")
    parser.add_argument("--signals", type=int, default=3, help="of each kind, for each kind of command; 0: none")
    parser.add_argument("--environment", default="", help="only disturbances with this in their names; 'none'")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("outputs", "faults.md"))
    options = parser.parse_args()
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="archsearch-faults."))
    server = PostgresServer() if programs() is not None else None
    campaign = Campaign(folder, server, options.seed)
    environment: list[tuple[str, str, list[str]]] = []
    try:
        (folder / "reference").mkdir()
        kinds = ("list", "run", "search", "workers") if options.kills else ("list", "run", "search")
        campaign.reference = measure(campaign.warm, folder / "reference", kinds)
        _note(f"undisturbed: {campaign.reference.seconds}")
        jobs: list[Callable[[], object]] = []
        databases = ("SQLite", "PostgreSQL") if server is not None else ("SQLite",)
        if options.environment != "none":
            jobs.append(lambda: environment.extend(disturb(campaign, options.environment)))
        for (kind, database), share in SHARES.items():
            kills = round(share * options.kills / sum(SHARES.values()))
            if kills and database in databases:
                jobs.append(
                    lambda kind=kind, database=database, kills=kills: random_kills(campaign, kind, database, kills)
                )
        for kind in ("run", "search"):
            for database in databases:
                if options.points or options.every_point:
                    most = None if options.every_point else options.points
                    jobs.append(
                        lambda kind=kind, database=database, most=most: point_kills(campaign, kind, database, most)
                    )
            if options.signals:
                jobs.append(lambda kind=kind: signals(campaign, kind, "SQLite", options.signals))
        with ThreadPoolExecutor(options.jobs) as pool:
            for job in [pool.submit(each) for each in jobs]:
                job.result()
    finally:
        campaign.close()
        if server is not None:
            server.close()
    text = report(campaign, environment, time.monotonic() - begun)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    wrong = any(row.faults for row in campaign.rows.values()) or any(faults for _, _, faults in environment)
    if wrong:
        _note(f"the folders of what went wrong are below {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
