"""Guard: with the folder of the kernels taken away, everything else works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
FEW = ("data=shapes", "data.shapes.train_images=200", "data.shapes.test_images=60", "arch=brisk", "block=dilated")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Return a copy of the project without the kernels."""
    tree = tmp_path / "bare"
    for folder in ("archsearch", "conf", "hydra_plugins"):
        shutil.copytree(CHECKOUT / folder, tree / folder, ignore=shutil.ignore_patterns("kernels", "__pycache__"))
    assert not (tree / "archsearch" / "kernels").exists()
    return tree


def run(tree: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_network_is_trained_and_exported_without_the_kernels(bare: Path, tmp_path: Path) -> None:
    few = (*FEW, "train.epochs=1", "train.batch_size=50", "study.name=bare", "hydra.run.dir=trained")
    trained = run(bare, tmp_path, "-m", "archsearch.run", *few)
    assert trained.returncode == 0, trained.stderr
    assert "archsearch/kernels is not installed" in trained.stdout + trained.stderr
    result = json.loads((tmp_path / "trained" / "result.json").read_text())
    assert (result["precision"], result["backend"], result["kernels"]) == ("bf16", "eager", False)
    export = ("-m", "archsearch.study", "export", "bare", "--torch-export", "net.pt2")
    exported = run(bare, tmp_path, *export)
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "net.pt2").stat().st_size > 0
    refused = run(bare, tmp_path, "-m", "archsearch.run", *few, "train.kernels=native", "hydra.run.dir=refused")
    assert refused.returncode == 1
    assert "train.kernels=native: archsearch/kernels is not installed" in refused.stderr


def test_every_other_module_is_imported_and_a_network_built_without_the_kernels(bare: Path, tmp_path: Path) -> None:
    modules = sorted(
        ".".join(path.relative_to(bare).with_suffix("").parts)
        for path in (bare / "archsearch").rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
    )
    build = "archsearch.build(archsearch.load_design('brisk')); print(archsearch.__file__)"
    found = run(bare, tmp_path, "-c", f"import {', '.join(modules)}; {build}")
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith(str(bare))
