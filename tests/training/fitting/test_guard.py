"""The collapse guard's judgement, on numbers alone; test_fit.py has it save a real training."""

import json
from dataclasses import replace

import pytest

from beedex.training.errors import TrainingError
from beedex.training.fitting.guard import Guard, GuardConfig, Health
from beedex.training.fitting.observation import Observation

APART = Observation(
    step=0,
    loss=0.3,
    collapsed_loss=0.1,
    active_share=0.7,
    families=6,
    triplets=True,
    mean_distance=1.4,
    effective_rank=12.0,
    input_spread=5.0,
)
SHRUNK = replace(APART, loss=0.104, active_share=1.0, mean_distance=0.02)
FLAT = replace(APART, loss=0.4, effective_rank=1.2)


def make_guard(**settings) -> Guard:
    """A guard that has seen a good batch."""
    guard = Guard(GuardConfig(**settings), "batch-hard")
    assert guard.observe(APART) is None
    return guard


def observe(guard, observation, times):
    """The actions of so many equal observations."""
    actions = [guard.observe(replace(observation, step=10 * (i + 1))) for i in range(times)]
    return [action for action in actions if action]


@pytest.mark.parametrize("collapsed", [SHRUNK, FLAT, replace(SHRUNK, effective_rank=0.0)])
def test_it_acts_when_observations_in_a_row_are_collapsed(collapsed):
    guard = make_guard(in_a_row=3)

    actions = observe(guard, collapsed, 3)

    assert [action.step for action in actions] == [30]
    assert (actions[0].mining, actions[0].rate_scale, actions[0].to_start) == ("semi-hard", 0.3, False)


def test_one_good_observation_between_ends_the_suspicion():
    guard = make_guard(in_a_row=3)

    for _ in range(5):
        assert observe(guard, SHRUNK, 2) == []
        assert guard.observe(APART) is None


@pytest.mark.parametrize(
    "poor",
    [
        replace(SHRUNK, families=1, triplets=False, loss=0.0, active_share=0.0),
        replace(SHRUNK, triplets=False, loss=0.0, active_share=0.0),
        replace(APART, loss=0.0, active_share=0.0, effective_rank=1.0),
        replace(SHRUNK, input_spread=0.0, mean_distance=0.0, loss=0.1),
        replace(SHRUNK, input_spread=0.4, mean_distance=0.05),
    ],
    ids=["one class", "no pair", "no active triplet", "all duplicates", "near duplicates"],
)
def test_a_poor_batch_says_nothing(poor):
    guard = make_guard(in_a_row=3)
    assert guard.judge(poor) is Health.POOR_BATCH

    assert observe(guard, poor, 50) == []
    assert not guard.keeps_weights
    assert observe(guard, SHRUNK, 2) == []
    assert observe(guard, poor, 50) == []
    assert len(observe(guard, SHRUNK, 1)) == 1, "a poor batch is no recovery either"


def test_a_poor_first_batch_is_not_what_others_are_compared_with():
    guard = Guard(GuardConfig(in_a_row=1), "batch-hard")

    assert observe(guard, replace(APART, input_spread=0.0, mean_distance=0.0), 3) == []
    assert guard.observe(APART) is None
    assert len(observe(guard, SHRUNK, 1)) == 1


@pytest.mark.parametrize(
    "healthy",
    [
        replace(APART, loss=0.1),
        replace(SHRUNK, loss=0.06),
        replace(FLAT, families=3),
        replace(FLAT, loss=0.05),
        replace(APART, mean_distance=0.3),
    ],
    ids=[
        "loss at the margin alone",
        "small distances that tell families apart",
        "three on a line",
        "low loss",
        "closer",
    ],
)
def test_one_sign_alone_is_no_collapse(healthy):
    assert observe(make_guard(in_a_row=1), healthy, 20) == []


def test_a_collapse_without_a_margin_shows_in_the_distances():
    guard = make_guard(in_a_row=1)

    assert len(observe(guard, replace(SHRUNK, collapsed_loss=0.0, loss=0.0, active_share=0.0), 1)) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["loss", "mean_distance"])
def test_what_is_no_number_is_acted_on_at_once(name, value):
    actions = observe(make_guard(in_a_row=3), replace(APART, **{name: value}), 1)

    assert actions[0].evidence == "the loss or an embedding is not a finite number"


def test_each_action_goes_one_mining_further_and_back_to_the_start_if_the_last_did_not_help():
    guard = make_guard(in_a_row=1, rollbacks=4, rate_factor=0.5)

    actions = observe(guard, SHRUNK, 4)

    assert [action.mining for action in actions] == ["semi-hard", "batch-all", "batch-all", "batch-all"]
    assert [action.rate_scale for action in actions] == [0.5, 0.25, 0.125, 0.0625]
    assert [action.to_start for action in actions] == [False, True, True, True]
    assert [action.action for action in actions[:3]] == [
        "back to the last good weights, learning rate x 0.5, mining batch-hard -> semi-hard",
        "back to the initial weights, learning rate x 0.5, mining semi-hard -> batch-all",
        "back to the initial weights, learning rate x 0.5",
    ]


def test_the_evidence_names_what_was_measured():
    (action,) = observe(make_guard(in_a_row=2), SHRUNK, 2)

    assert action.evidence == (
        "2 observations in a row, the last with a mean distance of 0.02 (at first 1.4), effective rank 12.0 with 6 "
        "families, loss 0.104 where equal embeddings have 0.1, active share 1.00"
    )


def test_it_gives_up_after_rollbacks_without_recovery():
    guard = make_guard(in_a_row=2, rollbacks=3)
    assert len(observe(guard, SHRUNK, 7)) == 3

    with pytest.raises(
        TrainingError, match=r"collapsed again at step 10, after 3 times back.*try a lower learning rate"
    ):
        guard.observe(replace(SHRUNK, step=10))


def test_a_recovery_gives_the_rollbacks_back():
    guard = make_guard(in_a_row=1, rollbacks=2, recovered_after=4)

    for _ in range(10):
        (action,) = observe(guard, SHRUNK, 1)
        assert not action.to_start
        assert observe(guard, APART, 4) == []


def test_good_observations_short_of_a_recovery_do_not():
    guard = make_guard(in_a_row=1, rollbacks=2, recovered_after=4)
    for _ in range(2):
        assert len(observe(guard, SHRUNK, 1)) == 1
        observe(guard, APART, 3)

    with pytest.raises(TrainingError):
        guard.observe(SHRUNK)


@pytest.mark.parametrize(
    ("observation", "kept"), [(APART, True), (replace(APART, mean_distance=0.3), False), (SHRUNK, False)]
)
def test_only_weights_whose_embeddings_are_apart_are_kept(observation, kept):
    guard = make_guard()
    guard.observe(observation)

    assert guard.keeps_weights is kept


@pytest.mark.parametrize("before", range(12))
def test_a_restored_guard_decides_as_the_saved_one(before):
    sequence = [SHRUNK, SHRUNK, APART, SHRUNK, SHRUNK, SHRUNK, APART, SHRUNK, SHRUNK, FLAT, FLAT, SHRUNK, SHRUNK]
    first, second = make_guard(in_a_row=2), Guard(GuardConfig(in_a_row=2), "batch-all")
    for observation in sequence[:before]:
        first.observe(observation)

    second.restore(json.loads(json.dumps(first.state())))

    for observation in sequence[before:]:
        assert first.observe(observation) == second.observe(observation)
    assert first.state() == second.state()


@pytest.mark.parametrize("settings", [{"in_a_row": 0}, {"rate_factor": 1.0}, {"rate_factor": 0.0}, {"rollbacks": 0}])
def test_settings_that_make_no_guard_are_refused(settings):
    with pytest.raises(ValueError, match="Received"):
        GuardConfig(**settings)
