from __future__ import annotations

from study_fakes import LIMITS, make_study, make_trial, odd

from archsearch.report.page_parts import bound_words, cost_bounds, cut, scrolling, section, settings_words, table


def test_a_section_is_linked_to_by_its_name() -> None:
    found = section("cost", "Cost & more", "text")
    assert found == (
        '<section id="cost" aria-labelledby="cost-title"><h2 id="cost-title">Cost &amp; more</h2>text</section>'
    )


def test_a_table_has_headings_on_both_sides_and_scrolls_within_itself() -> None:
    found = scrolling(table(["a", "b"], [["x", "1"], ["y", "2"]], numbers=[1], ids=["row-x", "row-y"]), "Numbers")
    assert 'role="region" aria-label="Numbers"' in found
    assert found.count('scope="col"') == found.count('scope="row"') == 2
    assert '<tr id="row-y"><th scope="row">y</th><td class="n">2</td></tr>' in found


def test_limits_are_said_in_words() -> None:
    words = [bound_words(bound) for bound in LIMITS.values()]
    assert words == [
        "above 44",
        "below 200 000",
        "depthwise_separable, dilated",
        "max_pool, average_pool",
        "layers 3, by strided, dilated",
        "global_average",
    ]
    assert cost_bounds(make_study([], attrs={"limits_text": LIMITS}), "parameters") == {"below 200 000": 200_000.0}
    assert cost_bounds(odd()["wrong attributes"], "parameters") == {}


def test_settings_leave_out_what_meant_nothing() -> None:
    trial = make_trial(0, assignments={"arch.stages.c1.width": 8, "b": 0.12345, "c": "x" * 99}, attrs={"unused": ["b"]})
    assert settings_words(trial, ["arch.stages.c1.width", "b", "c", "d"]) == ["c1.width=8", f"c={'x' * 59}…"]
    assert cut("abc", 3) == "abc"
