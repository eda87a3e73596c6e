"""What passes between the search and its task."""

from __future__ import annotations

from search_fakes import FakeTask

from archsearch.search.task import Task


def test_a_verdict_is_kept_only_if_every_limit_is() -> None:
    task: Task = FakeTask(most=5)
    assert task.check({"a": 1, "b": 2}).kept
    assert not task.check({"a": 6, "b": 2}).kept
