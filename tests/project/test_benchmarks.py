"""The benchmarks measure what they say."""

import time

import cv2
import pytest
import yaml

from benchmarks import accuracy, measure, plain, training
from benchmarks.__main__ import show
from benchmarks.accuracy import time_to_accuracy
from benchmarks.language import language_cost
from benchmarks.measure import alternate, describe_machine, in_fresh_python, machine_limits, percentile
from benchmarks.pages import DEGRADED, page_figures
from benchmarks.reading import reading_throughput
from benchmarks.scale import scale
from benchmarks.training import FLOPS, training_throughput, utilisation
from hwrlib.synthetic.pages import render_page


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Small batches for the plain loop, which is slow."""
    monkeypatch.setattr(plain, "BATCH", 2)


@pytest.fixture
def recipe(tiny, tmp_path):
    """A function that writes a recipe and returns its path."""

    def write(**changes):
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(tiny(**changes).as_dict()), encoding="utf-8")
        return str(path)

    return write


def test_work_is_timed_in_turn_without_the_warm_up(monkeypatch):
    clock, calls, lengths = [0.0], [], iter([100, 100, 3, 20, 1, 10, 2, 90])

    def work(name):
        calls.append(name)
        clock[0] += next(lengths)

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    seconds = alternate({"a": lambda: work("a"), "b": lambda: work("b")}, repeats=3)
    assert calls == ["a", "b"] * 4 and seconds == {"a": 2, "b": 20}


def test_percentiles_are_in_milliseconds():
    assert percentile([0.001 * i for i in range(101)], 99) == pytest.approx(99)


def test_peak_memory_is_that_of_the_work_alone():
    ballast = bytearray(300 * 2**20)
    _, small = in_fresh_python("import time; began = time.perf_counter()")
    _, large = in_fresh_python(
        "import time; began = time.perf_counter(); held = bytes(1) * int(__import__('sys').argv[1])", 200 * 2**20
    )
    assert small < 100 < large - small < 250 and len(ballast) > 0


def test_work_that_fails_in_a_fresh_python_is_an_error():
    with pytest.raises(RuntimeError, match="no such thing"):
        in_fresh_python("raise SystemExit('no such thing')")


def test_the_machine_is_described():
    machine = describe_machine()
    assert machine["cores"] > 0 and machine["torch"].split(".")[0].isdigit() and machine["processor"]


@pytest.mark.parametrize("fast, measured", [(False, {"fp32"}), (True, {"fp32", "bf16"})])
def test_16_bit_products_are_measured_only_if_they_are_fast(monkeypatch, fast, measured):
    monkeypatch.setattr(measure, "has_fast_bf16", lambda device: fast)
    limits = machine_limits(size=32, copied=1000)
    assert set(limits) == {f"matrix product {name}, GFLOP/s" for name in measured} | {"copy, GB/s"}
    assert all(value > 0 for value in limits.values())


def test_training_is_compared_with_the_fastest_product_of_the_machine(capsys):
    measured = {"images/s": {"hwrlib": 100.0}, FLOPS: 0.5}
    limits = {"matrix product fp32, GFLOP/s": 200.0, "copy, GB/s": 10.0}
    assert utilisation(measured, limits) == {"GFLOP/s reached": 50.0, "% of a large fp32 matrix product's": 25.0}
    fast = {**limits, "matrix product bf16, GFLOP/s": 500.0}
    assert utilisation(measured, fast) == {"GFLOP/s reached": 50.0, "% of a large bf16 matrix product's": 10.0}
    show("training", utilisation(measured, limits))
    assert capsys.readouterr().out.splitlines()[-1].split() == "% of a large fp32 matrix product's 25".split()


def test_training(recipe, drawn_set):
    result = training_throughput(drawn_set, recipe(accumulation=2))
    rates, stages = result["images/s"], result["milliseconds per image"]
    assert rates["ratio"] == pytest.approx(rates["hwrlib"] / rates["plain loop"]) and rates["ratio"] > 1
    assert set(stages) >= {"once: decode", "load", "augment", "forward", "CTC", "backward", "optimizer"}
    step = sum(value for name, value in stages.items() if not name.startswith("once"))
    assert 0.3 < step * rates["hwrlib"] / 1000 < 3  # the stages make up a step
    wider = training_throughput(drawn_set, recipe(width=32))
    assert 2 < wider[FLOPS] / result[FLOPS] < 4  # most operations grow with the square of the channels


def test_the_baseline_can_be_timed(recipe, drawn_set, monkeypatch):
    monkeypatch.setattr(training, "STEPS", 1)
    result = training_throughput(drawn_set, recipe(model="baseline", height=64, min_width=64, batch_size=2))
    assert 1 < result[FLOPS] < 10


def test_reading(drawn_set):
    result = reading_throughput(drawn_set, "names", count=8)
    rates = result["images/s"]
    assert {"hwrlib, ONNX Runtime", "hwrlib, torch", "plain loop"} <= set(rates) and min(rates.values()) > 0
    best = max(rates["hwrlib, ONNX Runtime"], rates["hwrlib, torch"])
    assert result["ratio to the plain loop"] == pytest.approx(best / rates["plain loop"])
    assert result["one image, warm, ms"]["p50"] <= result["one image, warm, ms"]["p99"]


def test_scale(drawn_set, tmp_path):
    (row,) = scale(drawn_set, [120], tmp_path)  # more than the 96 images that are repeated
    assert row["images"] == 120 and all(value > 0 for value in row.values())
    assert len(list((tmp_path / "set_120" / "train").iterdir())) == 120
    left = {path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")}
    assert left == {"set_120", "kaggle_120.zip", "prepared_120"}


def test_time_to_accuracy(recipe, drawn_set, tmp_path):
    result = time_to_accuracy(drawn_set, [recipe(epochs=2)], tmp_path / "runs")
    curves, targets = result["curves"], result["seconds to validation CER"]
    assert set(curves) == {"tiny", "plain loop"} and set(targets) == {"10%", "5%", "4%"}
    (first, _), (second, _) = curves["tiny"]
    assert 0 < first < second <= curves["plain loop"][0][0]  # the plain loop gets as long as the longest recipe


def test_the_first_time_at_a_target_counts():
    curve = [(10.0, 0.5), (20.0, 0.09), (30.0, 0.04), (40.0, 0.06)]
    assert [accuracy._first(target, curve) for target in (0.10, 0.05, 0.01)] == [20.0, 30.0, None]


def test_the_cost_of_a_language_is_measured(drawn_set):
    result = language_cost(drawn_set, "names", count=8)
    rates, decoding = result["images/s"], result["decoding, ms per line on one core"]
    assert set(rates) == set(decoding) == {"greedy", "with the language"} and min(*rates.values(), *decoding.values()) > 0
    ratio = result["time with the language / greedy"]
    assert ratio == pytest.approx(rates["greedy"] / rates["with the language"])


def test_pages_are_scored_against_their_transcription_and_their_copies(tmp_path):
    page = render_page(0, columns=1, rows=3)
    page.name = "register_0.png"
    cv2.imwrite(str(tmp_path / page.name), page.image)
    page.save(tmp_path / "register_0.alto.xml")
    figures = page_figures(tmp_path, "names")
    of_kind = figures["register, 1 pages"]
    assert of_kind["network: f"] > 0.9 and of_kind["CER, lines found"] < 0.2
    assert all(of_kind[f"network, F on copies: {name}"] > 0.8 for name in DEGRADED)  # their baselines are moved as they are
    assert figures["seconds per page, finding and reading: longest"] > 0
