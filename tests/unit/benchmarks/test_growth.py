"""The figures of growth as a table and as a picture."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

from benchmarks.growth.cost import PATIENCE_SECONDS, told
from benchmarks.growth.table import plot, table

MEASURED = {
    1_000: {"list, ms": 0.125, "list, buffers": 12.0, "all, MB": 1.0},
    1_000_000: {"list, ms": PATIENCE_SECONDS * 1000.0, "list, buffers": 34_567.0, "all, MB": 800.0},
}


def test_the_table_has_a_column_for_each_number_of_rows_and_a_line_for_each_figure() -> None:
    assert table(MEASURED).splitlines() == [
        "|  | 1,000 | 1,000,000 |",
        "| --- | ---: | ---: |",
        "| list, ms | 0.12 | > 300,000 |",
        "| list, buffers | 12 | 34,567 |",
        "| all, MB | 1 | 800 |",
    ]


def test_a_figure_that_one_number_of_rows_has_not_is_left_out_there() -> None:
    assert "| drain | - | 5 |" in table({1: {"list": 1.0}, 2: {"list": 1.0, "drain": 5.0}})


def test_the_picture_has_a_point_for_each_number_of_rows() -> None:
    drawn = ET.fromstring(plot(MEASURED))  # noqa: S314 - our own
    points = [float(each.attrib["cy"]) for each in drawn.iter() if each.tag.endswith("circle")]
    words = {each.text for each in drawn.iter() if each.tag.endswith("text")}
    assert len(points) == 4
    assert points[0] > points[1], "what costs more stands higher"
    assert {"list, ms", "all, MB", "1,000", "1,000,000"} <= words


def test_a_plan_tells_its_time_and_all_buffers_that_it_touched() -> None:
    plan = {"Shared Hit Blocks": 3, "Shared Read Blocks": 4}
    assert told(json.dumps([{"Execution Time": 1.5, "Plan": plan}])).buffers == 7
