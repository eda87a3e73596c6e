from __future__ import annotations

import pytest

from archsearch.notices import notice_once


def test_a_notice_is_written_once_and_another_one_too(capsys: pytest.CaptureFixture[str]) -> None:
    notice_once.cache_clear()
    for text in ("one", "one", "two", "one"):
        notice_once(text)
    assert capsys.readouterr().err == "notice: one\nnotice: two\n"
