"""A part of the matrix of faults; `make faults` asks the whole."""

import pytest
from fault_matrix import CELLS, FAULTS, FRAMEWORKS, SHORT, TIERS, WAYS, outcome_of


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
