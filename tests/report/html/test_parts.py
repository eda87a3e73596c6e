from __future__ import annotations

from study_fakes import make_trial

from archsearch.report.html.parts import section, settings, table, tied, value_cell


def test_a_section_is_linked_to_by_its_name() -> None:
    found = section("cost", "Cost & more", "text")
    assert found == (
        '<section id="cost" aria-labelledby="cost-title"><h2 id="cost-title">Cost &amp; more</h2>text</section>'
    )


def test_a_table_has_headings_on_both_sides_and_scrolls_within_itself() -> None:
    found = table("Numbers", ["a", "b"], [["x", "1"], ["y", "2"]], numbers=[1], ids=["row-x", "row-y"])
    assert 'role="region" aria-label="Numbers"' in found
    assert found.count('scope="col"') == found.count('scope="row"') == 2
    assert '<tr id="row-y"><th scope="row">y</th><td class="n">2</td></tr>' in found


def test_numbers_and_their_units_stay_on_one_line() -> None:
    assert tied("trial 3 has 1 234 567 MACs, 86.1 %, 9.22 k, 44 px").replace("\N{NO-BREAK SPACE}", "_") == (
        "trial 3 has 1_234_567_MACs, 86.1_%, 9.22_k, 44_px"
    )
    assert value_cell("accuracy", "much") == value_cell("loss", float("inf")) == "–"


def test_settings_leave_out_unused_ones() -> None:
    trial = make_trial(0, assignments={"arch.stages.c1.width": 8, "b": 0.12345, "c": "x" * 99}, attrs={"unused": ["b"]})
    assert settings(trial, ["arch.stages.c1.width", "b", "c", "d"]) == ["c1.width=8", f"c={'x' * 59}…"]
