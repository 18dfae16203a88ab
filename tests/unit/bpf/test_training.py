"""Training is seeded, learns, and the shipped weights fit the kernel's structure."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.bpf.predict_support import random_network

from sentinel_bpf import predict_abi as abi
from sentinel_bpf.errors import BpfError
from sentinel_bpf.predict_reference import Network
from sentinel_bpf.training import evaluate, fit, weights
from sentinel_bpf.training.kinds import KINDS, generate
from sentinel_bpf.training.library import run_intervals
from sentinel_bpf.training.samples import collect, flow_samples
from sentinel_bpf.training.series import asleep, intervals
from sentinel_bpf.training.traffic import STEADY, Packets, stream


@pytest.mark.parametrize("kind", KINDS)
def test_a_generated_flow_depends_on_its_name_only(kind: str) -> None:
    once, again = generate(kind, 1, "train", 4), generate(kind, 1, "train", 4)
    other = generate(kind, 1, "test", 4)
    assert np.array_equal(once.times_ns, again.times_ns)
    assert np.array_equal(once.sizes, again.sizes)
    assert not (
        np.array_equal(once.times_ns[:50], other.times_ns[:50])
        and np.array_equal(once.sizes[:50], other.sizes[:50])
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(4))
def test_generated_packets_are_in_order_and_of_possible_size(kind: str, number: int) -> None:
    flow = generate(kind, 2, "train", number)
    assert (np.diff(flow.times_ns) >= 0).all()
    assert flow.times_ns[0] >= 0
    assert flow.sizes.min() >= 54
    assert flow.sizes.max() <= 65535
    assert len(flow.times_ns) == len(flow.sizes) > (50 if kind in STEADY else 4)


def test_the_truth_of_a_poisson_flow_is_poisson() -> None:
    rng_gaps = np.diff(generate("poisson", 3, "truth", 0).times_ns)
    assert np.std(rng_gaps) / np.mean(rng_gaps) == pytest.approx(1, abs=0.1)


def test_intervals_hold_every_byte_but_those_of_the_open_one() -> None:
    flow = Packets("t", np.array([5, 6, 5 + 2**25, 5 + 3 * 2**25]), np.array([10, 20, 30, 40]))
    assert intervals(flow).tolist() == [30, 30, 0]


def test_asleep_means_empty_and_at_most_one_of_four_not() -> None:
    series = np.array([1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0], np.uint32)
    awake_first, awake_again = [False] * 3, [False, False, True]
    assert asleep(series).tolist() == [*awake_first, True, True, True, False, True, *awake_again]


@pytest.mark.parametrize("seed", range(4))
def test_asleep_is_what_the_predictor_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    series = np.concatenate([[7], rng.integers(0, 2, 300) * rng.integers(0, 2, 300) * 9])
    trace = run_intervals(series.astype(np.uint32), None)
    # Where it sleeps all predict 0; awake, the mean of a flow that has sent does not.
    assert np.array_equal(trace.predicted.sum(axis=1) == 0, asleep(series.astype(np.uint32)))


def test_last_value_exact_gives_no_sample() -> None:
    assert flow_samples(np.full(100, 7, np.uint32), stream(1)) is None


@pytest.fixture(scope="module")
def few() -> fit.Samples:
    return collect("train", seed=1, flows=2, shift=abi.SHIFT_DEFAULT)


def test_the_weights_of_samples_make_last_value_one(few: fit.Samples) -> None:
    last_value = Network(
        hidden=((0,) * 8,) * 8, output=(0,) * 8, direct=(2**abi.NETWORK_OUTPUT_SHIFT, *(0,) * 7)
    )
    # Sleeping moments, after which last value errs too, are left out: less than one.
    assert 0.8 < fit.mean_mase(last_value, few) < 1.05


def test_the_gradient_is_that_of_the_loss(few: fit.Samples) -> None:
    start = fit.start_weights(stream(1, "gradient")).flat()
    _, gradient = fit.loss(fit.Weights.unflat(start), few, fixed_hidden=False)
    for index in (0, 13, 63, 64, 70, 72, 79):
        moved = [start.copy(), start.copy()]
        moved[0][index] -= 1e-6
        moved[1][index] += 1e-6
        below, above = (
            fit.loss(fit.Weights.unflat(values), few, fixed_hidden=False)[0] for values in moved
        )
        assert (above - below) / 2e-6 == pytest.approx(gradient[index], rel=1e-3, abs=1e-6)


def test_training_learns_and_is_repeatable(few: fit.Samples) -> None:
    found = [
        fit.quantise(fit.fit(few, stream(1, "start"), iterations=30), few, abi.SHIFT_DEFAULT)
        for _ in range(2)
    ]
    assert found[0] == found[1]
    assert fit.mean_mase(found[0], few) < 0.95


def test_shipped_weights_fit_and_say_where_they_come_from() -> None:
    trained = weights.load()
    weights.to_model(trained.network, trained.version)
    assert trained.provenance["kinds"] == list(KINDS)
    assert len(trained.provenance["commit"]) == 40
    assert "no capture" in trained.provenance["on"]


def test_shipped_weights_reach_the_targets_on_flows_they_never_saw() -> None:
    trained = weights.load()
    model = weights.to_model(trained.network, trained.version)
    summary = evaluate.summarise(evaluate.generated(model, seed=77, flows=8))
    assert summary.below_one >= evaluate.SHARE_BELOW_ONE
    assert summary.worst <= evaluate.WORST
    assert summary.network_gain >= evaluate.NETWORK_GAIN


def test_weights_survive_their_file(tmp_path: Path) -> None:
    made = weights.TrainedModel(random_network(4, 24), 3, {"on": "nothing"})
    path = tmp_path / "weights.json"
    path.write_text(made.to_json(), encoding="utf-8")
    assert weights.load(path) == made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 0}, "format 2"),
        ({"version": 0}, "version"),
        ({"interval_shift": 30}, "interval_shift is 20 to 27, got 30"),
        ({"output": [0] * 7}, "output: 8 weights"),
        ({"output": [40000] + [0] * 7}, "16 bits, got 40000"),
        ({"hidden": [[200] * 8] * 8}, "8 bits, got 200"),
        ({"hidden": None}, "wrong type"),
        ({"direct": [0.5] * 8}, "integer"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    data = json.loads(weights.TrainedModel(random_network(4), 1, {}).to_json()) | change
    path = tmp_path / "weights.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(BpfError, match=message) as caught:
        weights.load(path)
    assert str(path) in str(caught.value)


def test_a_swap_never_writes_the_slot_in_use() -> None:
    models = abi.Models()
    for version in range(1, 5):
        before = bytes(models.slot[models.active])
        model = weights.to_model(replace(random_network(version)), version)
        filled, flipped = weights.swap(models, model)
        assert filled.active == models.active
        assert bytes(filled.slot[models.active]) == before
        assert flipped.active == 1 - models.active
        assert bytes(flipped.slot[flipped.active]) == bytes(model)
        models = flipped


def test_a_report_names_what_could_not_be_judged() -> None:
    short = Packets("short", np.array([0, 10]), np.array([60, 60]))
    model = weights.to_model(weights.load().network, 1)
    found = evaluate.figures("nothing", [short], model, pooled=True)
    assert "no flow is long enough" in evaluate.table([found])
    with pytest.raises(BpfError, match="long enough"):
        evaluate.summarise([found])
