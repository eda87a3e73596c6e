"""What a search may be asked to do, and the YAML twins of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from archsearch.decode import decode
from archsearch.errors import SpecError
from archsearch.settings.study import PrunerName, PrunerSettings, SamplerName, SamplerSettings, StudySettings


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ({"trials": 0}, "study.trials"),
        ({"workers": 0}, "study.workers"),
        ({"name": ""}, "study.name"),
        ({"objectives": []}, "study.objectives"),
        ({"objectives": ["accuracy", "accuracy"]}, "study.objectives"),
        ({"objectives": ["beauty"]}, "study.objectives"),
        ({"heartbeat": 90.0}, "study.heartbeat"),
        ({"sampler": {"name": "guess"}}, "study.sampler.name"),
        ({"pruner": {"name": "median", "warmup": -1}}, "study.pruner.warmup"),
        ({"pruner": {"name": "median"}, "objectives": ["accuracy", "macs"]}, "study.pruner"),
        ({"pruner": {"name": "median"}, "objectives": ["loss"]}, "study.pruner"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_key(raw: dict[str, Any], where: str) -> None:
    with pytest.raises(SpecError) as caught:
        decode(StudySettings, raw, "study")
    assert str(caught.value).startswith(where)


def test_the_shipped_files_are_the_defaults_and_all_there_are(checkout: Path) -> None:
    conf = checkout / "conf"
    assert decode(StudySettings, yaml.safe_load((conf / "study/default.yaml").read_text()), "study") == StudySettings()
    for folder, kind, names in (("sampler", SamplerSettings, SamplerName), ("pruner", PrunerSettings, PrunerName)):
        files = {file.stem: yaml.safe_load(file.read_text()) for file in (conf / folder).glob("*.yaml")}
        assert set(files) == set(get_args(names))
        for name, raw in files.items():
            assert decode(kind, raw, folder) == kind(name=name)  # type: ignore[arg-type]
