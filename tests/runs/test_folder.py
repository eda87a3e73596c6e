"""A folder holds one run, and nothing is written through a link in it that leads out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from archsearch.errors import SpecError
from archsearch.run import main as run
from archsearch.runs.card import renew_card
from archsearch.runs.erf import draw_erf
from archsearch.runs.execute import execute
from archsearch.runs.folder import design_in, refuse_links, require_own_folder
from archsearch.runs.record import write_design


@pytest.fixture(params=["curves.png", ".hydra", ".model.safetensors.77.part", ".hydra/config.yaml"])
def linked(request: pytest.FixtureRequest) -> Path:
    """Return a run's folder with a link to what is outside."""
    Path("precious").write_text("keep me")
    link = Path("run", request.param)
    link.parent.mkdir(parents=True)
    link.symlink_to(Path("precious").resolve())
    return Path("run")


def test_a_link_that_leads_out_is_refused_with_its_place(linked: Path) -> None:
    with pytest.raises(SpecError, match=r"run/.*: is a link that leads out of the run's folder, to .*/precious"):
        refuse_links(linked)


def test_links_within_the_folder_and_to_folders_are_accepted() -> None:
    Path("run").mkdir()
    Path("run/best.png").symlink_to("curves.png")
    Path("also").symlink_to("run")
    Path("images").mkdir()
    Path("run/images").symlink_to("../images")  # with hydra.run.dir=. a run's folder holds more than its own files
    refuse_links(Path("run"))
    refuse_links(Path("also"))
    refuse_links(Path("nowhere"))


def test_a_link_to_a_folder_in_the_place_of_hydras_is_refused() -> None:
    for name in ("run", "elsewhere"):
        Path(name).mkdir()
    Path("run/.hydra").symlink_to("../elsewhere")
    with pytest.raises(SpecError, match=r"\.hydra: is a link that leads out"):
        refuse_links(Path("run"))


@pytest.mark.parametrize(
    "use",
    [
        renew_card,
        lambda folder: draw_erf(folder, folder / "erf.png"),
    ],
    ids=["card", "erf"],
)
def test_pictures_are_not_drawn_through_a_link(use: Callable[[Path], object], linked: Path) -> None:
    with pytest.raises(SpecError, match="leads out of the run's folder"):
        use(linked)


def test_a_training_does_not_write_through_a_link(linked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from archsearch.runs import execute as module

    monkeypatch.setattr(module, "require", lambda checked: None)
    monkeypatch.setattr(module, "_fit_together", lambda checked, dataset: None)
    with pytest.raises(SpecError, match="leads out of the run's folder"):
        execute(None, None, linked, dataset=None)  # type: ignore[arg-type]
    assert not (linked / "design.yaml").exists()


def test_a_folder_with_a_link_is_not_resumed(linked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([f"resume={linked}"]) == 2
    assert "is a link that leads out of the run's folder" in capsys.readouterr().err
    assert Path("precious").read_text() == "keep me"


Make = Callable[..., Any]
GIVEN = ["arch.width=0.1", "++train.epochs=1", "study.name=a"]


def test_another_run_in_the_folder_is_refused(tiny: Make, tmp_path: Path) -> None:
    _, checked, _ = tiny("arch.width=0.1")
    _, other, _ = tiny("arch.width=0.2")
    require_own_folder(tmp_path / "new", checked, GIVEN, resumed=False)
    write_design(tmp_path / "design.yaml", checked)
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(GIVEN))
    assert design_in(tmp_path) == checked.design_id
    again = ["train.epochs=1", "arch.width=0.1", "study.name=b", "hydra.run.dir=x"]
    require_own_folder(tmp_path, checked, again, resumed=False)
    require_own_folder(tmp_path, checked, ["train.epochs=9"], resumed=True)
    with pytest.raises(SpecError, match=r"hydra\.run\.dir: .* holds another run: it differs in seed"):
        require_own_folder(tmp_path, checked, [*again, "seed=5"], resumed=False)
    with pytest.raises(SpecError, match=r"hydra\.run\.dir: .* holds the run of another design"):
        require_own_folder(tmp_path, other, GIVEN, resumed=False)
    with pytest.raises(SpecError, match=r"resume: .* holds the run of another design"):
        require_own_folder(tmp_path, other, GIVEN, resumed=True)


def test_a_command_that_was_refused_has_left_no_run(tiny: Make, tmp_path: Path) -> None:
    _, checked, _ = tiny("arch.width=0.1")
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text("[seed=1]")
    require_own_folder(tmp_path, checked, [], resumed=False)
