"""What is kept of a run, and the page and the picture that are made of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from PIL import Image

from bench import causes, plot
from bench.entry import Entry, failed, measured
from bench.estimate import Estimate
from bench.kept import Kept, load, merge, page, write
from bench.row import Finding
from bench.rows import ROWS
from bench.table import HEADINGS, cells, for_page

STOCK, FORCED = (next(row for row in ROWS if row.name == name) for name in ("stock-1", "forced-64"))
BACKTRACK = next(row for row in ROWS if row.name == "backtrack-512")


def entry(value: float, row: object = STOCK) -> Entry:
    estimate = Estimate(value, value * 0.99, value * 1.01)
    facts = {"tokens_per_second": [35.123456, 34.0]}
    return measured(row, Finding(estimate, Estimate(1, 0.99, 1.02), facts), 61.23, quick=False)  # type: ignore[arg-type]


ENTRIES = [entry(0.991), entry(4.2, FORCED), entry(2.1, BACKTRACK)]


def test_a_line_has_a_cell_for_every_heading_and_says_whether_the_target_is_met() -> None:
    lines = [dict(zip(HEADINGS, cells(one), strict=True)) for one in ENTRIES]
    assert [line["met"] for line in lines] == ["yes", "no", "yes"]
    assert lines[0]["value"] == "0.991"
    assert lines[0]["95% interval"] == "0.981 - 1.001"
    assert (lines[2]["value"], lines[2]["target"]) == ("2.10 steps", "≤ 3 steps")


def test_a_row_that_failed_has_its_reason_in_the_place_of_a_number() -> None:
    line = dict(zip(HEADINGS, cells(failed(STOCK, RuntimeError("it burns"), 1, True)), strict=True))
    assert (line["value"], line["95% interval"], line["met"]) == ("", "it burns", "failed")


def test_all_reasons_of_a_group_are_told() -> None:
    group = ExceptionGroup("many", [RuntimeError("one"), RuntimeError("two")])
    assert failed(STOCK, group, 1, quick=False).error == "one; two"


def test_new_numbers_replace_those_of_their_rows_and_leave_the_others() -> None:
    older = merge(Kept({}, []), [entry(0.5), entry(4.2, FORCED)])
    newer = merge(older, [entry(0.99)])
    assert [(one.name, one.estimate and one.estimate.value) for one in newer.rows] == [
        ("stock-1", 0.99),
        ("forced-64", 4.2),
    ]


def test_numbers_that_are_only_written_again_keep_the_name_of_their_machine() -> None:
    elsewhere = merge(Kept({"cores": "96"}, ENTRIES), [])
    assert elsewhere.machine == {"cores": "96"}


def test_a_row_that_is_no_more_is_dropped() -> None:
    gone = msgspec.structs.replace(entry(1), name="gone")
    assert merge(Kept({}, [gone]), []).rows == []


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    kept = merge(Kept({}, []), ENTRIES)
    write(kept, tmp_path)
    assert load(tmp_path / "results.json") == kept
    assert (tmp_path / "RESULTS.md").read_text() == page(kept)


def test_the_page_has_every_row_with_its_facts_and_its_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(causes.CAUSES, "stock-1", "The client shares the cores.")
    text = page(merge(Kept({}, []), ENTRIES))
    assert for_page(ENTRIES) in text
    assert "tokens per second 35.12 → 34. The client shares the cores." in text


def test_the_page_says_which_numbers_are_only_a_look() -> None:
    quick = msgspec.structs.replace(entry(1), quick=True)
    assert "Only a quick look, not a result: stock-1." in page(Kept({}, [quick]))
    assert "quick look" not in page(Kept({}, [entry(1)]))


def test_the_page_that_is_kept_is_made_of_the_numbers_that_are_kept() -> None:
    kept = load()
    if kept.rows:
        path = Path(__file__).parents[2] / "bench" / "RESULTS.md"
        assert path.read_text() == page(kept), "run python -m bench --render"


def test_the_picture_has_a_panel_for_each_kind_of_number(tmp_path: Path) -> None:
    found = plot.panels(ENTRIES)
    assert [panel.title for panel in found] == ["ratio, near 1", "ratio, times as fast", "steps"]
    plot.draw(ENTRIES, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        colours = image.convert("RGB").getcolors(1 << 20)
        assert image.width == plot.WIDTH
    assert colours is not None
    assert {(26, 127, 75), (192, 90, 0)} <= {colour for _, colour in colours}


def test_every_value_and_target_lies_on_its_axis() -> None:
    for panel in plot.panels(ENTRIES):
        for one in panel.rows:
            assert one.estimate is not None
            assert plot.LEFT < panel.place(one.estimate.low) < panel.place(one.estimate.high)
            assert panel.place(one.estimate.high) < plot.RIGHT
