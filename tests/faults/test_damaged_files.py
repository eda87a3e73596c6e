"""Files whose bits have flipped or that were cut short are never taken for whole, and never end in a traceback."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from environment import blank, cut_short, flip_bits
from lab import RUN_DIR, Lab, Reference, Warm, kill_at_point

from archsearch.errors import DataError
from archsearch.runs.load import load_network


@pytest.fixture(scope="module")
def finished(warm: Warm, reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run."""
    lab = Lab(warm, tmp_path_factory.mktemp("damaged") / "lab", "run")
    lab.finish()
    assert lab.faults == []
    return lab.folder / RUN_DIR


def test_weights_with_a_flipped_bit_are_refused(finished: Path, tmp_path: Path) -> None:
    content = (finished / "model.safetensors").read_bytes()
    tensors = 8 + int.from_bytes(content[:8], "little")
    load_network(finished)
    rng, taken = random.Random(0), []
    for _ in range(20):
        damaged = bytearray(content)
        place = rng.randrange(tensors, len(content))
        damaged[place] ^= 1 << rng.randrange(8)
        (tmp_path / "model.safetensors").write_bytes(damaged)
        try:
            load_network(tmp_path)
        except DataError:
            continue
        taken.append(place)
    assert taken == []


@pytest.mark.parametrize("damage", [cut_short, blank])
def test_weights_that_are_not_whole_are_refused(finished: Path, tmp_path: Path, damage) -> None:
    shutil.copy(finished / "model.safetensors", tmp_path)
    damage(tmp_path / "model.safetensors")
    with pytest.raises(DataError):
        load_network(tmp_path)


def test_a_run_with_damaged_overrides_is_resumed_or_refused(warm: Warm, reference: Reference, tmp_path: Path) -> None:
    lab = Lab(warm, tmp_path / "lab", "run")
    assert kill_at_point(lab, reference.point("run", "within write metrics.jsonl"))
    file = lab.folder / RUN_DIR / ".hydra" / "overrides.yaml"
    shutil.copy(file, tmp_path / "overrides.yaml")
    flip_bits(file)
    command = lab.start()
    code = command.wait()
    assert code in (0, 1, 2), command.text
    if code != 0:
        shutil.copy(tmp_path / "overrides.yaml", file)
        lab.finish()
    assert lab.check(reference) == []
