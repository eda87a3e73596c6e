"""A search that tests kill: `python kill_me.py STORAGE STUDY TRIALS WORKERS LOG`; not a test itself."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from search_fakes import FakeTask, make_settings, make_study, make_sweep

from archsearch.search.loop import work
from archsearch.search.storage.database import open_store
from archsearch.search.task import Job, Outcome
from archsearch.search.workers import run_workers


class SlowTask(FakeTask):
    """Trains for some hundredths of a second, keeps a checkpoint, and logs every epoch that it really trains."""

    def __init__(self, log: str) -> None:
        super().__init__(most=40, epochs=5)
        self.log = Path(log)

    def train(self, job: Job) -> Outcome:
        job.run_dir.mkdir(parents=True, exist_ok=True)
        checkpoint = job.run_dir / "checkpoint"
        done = int(checkpoint.read_text()) if job.resume and checkpoint.is_file() else 0
        score = self.size(job.candidate.assignments) / 100
        for epoch in range(1, self.epochs + 1):
            if epoch > done:
                time.sleep(0.03)
                with self.log.open("a") as file:
                    file.write(json.dumps([job.candidate.key, epoch]) + "\n")
                part = job.run_dir / f"part.{os.getpid()}"
                part.write_text(str(epoch))
                part.replace(checkpoint)
            job.on_epoch(epoch, score)
        return Outcome(measures={"accuracy": score})


@dataclass(frozen=True)
class Tasks:
    log: str

    def __call__(self) -> SlowTask:
        return SlowTask(self.log)


def main() -> None:
    storage, name, trials, workers, log = sys.argv[1:]
    study = make_study(open_store(storage), name=name)
    sweep = make_sweep(make_settings("random", trials=int(trials), workers=int(workers), grace=3.0))
    if int(workers) == 1:
        work(study, sweep, Tasks(log)())
    else:
        run_workers(study, replace(sweep), Tasks(log), listen=lambda event: None)


if __name__ == "__main__":
    main()
