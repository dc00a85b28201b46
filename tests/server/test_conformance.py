"""Every RPC of beedex.v1 ends in what its comment lists, and in nothing else.

Callers and servers get into situations in which calls end in some of these ways; together they must have provoked every
documented outcome, and no other.
"""

import asyncio

import pytest
from tests.server.conformance import faults, manners
from tests.server.conformance.callers import DOCUMENTED, METHODS, Rig

pytestmark = pytest.mark.slow  # one server after another, some 8 s

SITUATIONS = (
    manners.ask_for_what_is_not,
    manners.ask_for_too_much,
    manners.rely_on_others,
    manners.break_the_rules_of_grpc,
    manners.be_nobody,
    manners.be_idle,
    manners.open_too_many_streams,
    faults.have_nothing_to_serve,
    faults.crowd_the_lane,
    faults.be_broken,
    faults.lose_the_index,
    faults.hold_a_double,
    faults.build_and_go_down,
)


@pytest.fixture(scope="module")
def provoked(serving, tiny_gallery, tiny_bundle, tmp_path_factory):
    """What the situations provoked, by outcome."""
    rig = Rig(serving, tmp_path_factory.mktemp("conformance"), tiny_gallery, tiny_bundle)
    for situation in SITUATIONS:
        asyncio.run(situation(rig))
    return rig.notes.seen


def of(rpc, outcomes):
    return sorted(outcome for outcome in outcomes if outcome.rpc == rpc)


@pytest.mark.parametrize("rpc", METHODS)
def test_every_documented_outcome_was_provoked(provoked, rpc):
    assert of(rpc, DOCUMENTED.keys() - provoked.keys()) == []


@pytest.mark.parametrize("rpc", METHODS)
def test_every_provoked_outcome_is_documented(provoked, rpc):
    assert [(outcome, provoked[outcome]) for outcome in of(rpc, provoked.keys() - DOCUMENTED.keys())] == []


@pytest.mark.parametrize("rpc", METHODS)
def test_every_refusal_says_what_goes_with_its_code(provoked, rpc):
    for outcome in of(rpc, provoked):
        refusal = provoked[outcome]
        if outcome.reason:
            assert refusal.domain == "beedex", outcome
            assert refusal.message, outcome
        if outcome.code == "INVALID_ARGUMENT":
            assert refusal.fields, outcome
            assert all(refusal.fields), outcome
        if DOCUMENTED[outcome]:
            assert refusal.retry_after_s, outcome
            assert refusal.retry_after_s > 0, outcome
