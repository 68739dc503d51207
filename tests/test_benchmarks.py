"""The benchmarks run; what they measure is theirs to say."""

import yaml

from benchmarks.accuracy import time_to_accuracy
from benchmarks.measure import alternate, describe_machine, in_fresh_python
from benchmarks.reading import reading_throughput
from benchmarks.scale import scale


def test_ways_are_run_in_turn():
    calls = []
    seconds = alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=2)
    assert calls == ["a", "b"] * 3 and set(seconds) == {"a", "b"} and min(seconds.values()) >= 0


def test_peak_memory_is_that_of_the_work_alone():
    ballast = bytearray(300 * 2**20)
    _, small = in_fresh_python("import time; began = time.perf_counter()")
    _, large = in_fresh_python("import time; began = time.perf_counter(); held = bytes(1) * int(__import__('sys').argv[1])",
                               200 * 2**20)
    assert small < 100 < large - small < 250 and len(ballast) > 0


def test_the_machine_is_described():
    assert describe_machine()["torch"] and describe_machine()["cores"] > 0


def test_reading_and_scale(drawn_set, tmp_path):
    reading = reading_throughput(str(drawn_set), "names", count=8)
    assert all(rate > 0 for rate in reading["images/s"].values())
    row, = scale(str(drawn_set), [40], tmp_path)
    assert row["images"] == 40 and all(value > 0 for value in row.values())


def test_time_to_accuracy(tiny, drawn_set, tmp_path):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(tiny(epochs=1).as_dict()), encoding="utf-8")
    result = time_to_accuracy(str(drawn_set), [str(recipe)], tmp_path / "runs")
    assert set(result["curves"]) == {"tiny", "plain loop"} and set(result["seconds to validation CER"]) == {"10%", "5%", "4%"}
