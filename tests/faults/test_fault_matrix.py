"""A part of the matrix of faults; `make faults` asks the whole."""

import pytest
from fault_matrix import (
    CELLS,
    FAULTS,
    FRAMEWORKS,
    POLICIES,
    POLICY_CELLS,
    SHORT,
    SHORT_OF_POLICIES,
    TIERS,
    WAYS,
    flaws_under_policy,
    outcome_of,
)


@pytest.fixture(autouse=True)
def _closed(drops):
    """Wait for requests that were left behind, and collect the connections that LlamaIndex's streams leave."""


def test_the_matrix_is_whole():
    assert (len(FAULTS), len(TIERS), len(WAYS), len(FRAMEWORKS)) == (14, 3, 4, 2)
    assert len(CELLS) == len(set(CELLS)) == 14 * 3 * 4 * 2


def test_the_part_has_every_fault_at_every_position_and_every_way():
    assert {(cell.fault, cell.position) for cell in SHORT} == {(fault, tier) for fault in FAULTS for tier in TIERS}
    assert {(cell.way, cell.framework) for cell in SHORT} == {(way, one) for way in WAYS for one in FRAMEWORKS}


@pytest.mark.parametrize("cell", SHORT, ids=str)
def test_a_cell_is_as_stated(one_server, cell):
    assert outcome_of(cell, one_server) == (cell.stated, [])


def test_the_part_has_every_fault_under_every_policy():
    assert len(POLICY_CELLS) == len(CELLS) * len(POLICIES)
    pairs = {(cell.fault, cell.policy) for cell in SHORT_OF_POLICIES}
    assert pairs == {(fault, policy) for fault in FAULTS for policy in POLICIES}
    seen = {(cell.position, cell.way, cell.framework) for cell in SHORT_OF_POLICIES}
    assert len(seen) == len(TIERS) * len(WAYS) * len(FRAMEWORKS)


@pytest.mark.parametrize("cell", SHORT_OF_POLICIES, ids=str)
def test_a_cell_is_as_stated_under_its_policy(one_server, cell):
    assert flaws_under_policy(cell, one_server) == []
