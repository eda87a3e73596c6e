from __future__ import annotations

import subprocess
import sys

import pytest

import archsearch.training as room


@pytest.mark.parametrize("name", sorted(room._OWNERS))
def test_every_public_name_is_there(name):
    found = getattr(room, name)
    assert found.__module__ == f"archsearch.training.{room._OWNERS[name]}"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        room.trian  # noqa: B018


def test_values_and_progress_need_neither_torch_nor_rich(checkout):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from archsearch.training import TrainResult, make_progress; "
        "print([name for name in ('torch', 'rich', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(checkout)], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
