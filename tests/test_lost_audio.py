"""LossWatch: what is lost is found in its place and length; busy machines, drifting and lying clocks are no loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstream.clients.sources.lost_audio import Block, LossWatch

RATE_HZ = 48000
BLOCK = 960  # 20 ms
BLOCK_S = BLOCK / RATE_HZ


def stream(
    count: int, *, losses: dict[int, int] | None = None, flagged=(), adc=True, late=None, **clock
) -> list[Block]:
    """Blocks of 20 ms; before block k, losses[k] samples are missing; late[k] seconds after its end it arrives."""
    drift, adc_jump = clock.get("drift", 0.0), clock.get("adc_jump", {})
    blocks, position, arrived_s, adc_error_s = [], 0, 0.0, 0.0
    for number in range(count):
        position += (losses or {}).get(number, 0) + BLOCK
        adc_error_s += adc_jump.get(number, 0.0)
        end_s = 5.0 + position / RATE_HZ * (1 + drift)
        arrived_s = max(arrived_s + 1e-4, end_s + (late[number] if late is not None else 0.0))
        samples = np.full((BLOCK, 1), number, np.float32)
        adc_s = 1e9 + end_s - BLOCK_S + adc_error_s if adc else 0.0
        blocks.append(Block(samples, arrived_s, adc_s, number in flagged))
    return blocks


def gaps(blocks: list[Block]) -> dict[int, int]:
    """Samples found lost, by the number of the block behind the loss; every block must come out, in order."""
    watch, found, number = LossWatch(RATE_HZ), {}, 0
    items = [item for block in blocks for item in watch.push(block)] + list(watch.flush())
    for item in items:
        if isinstance(item, int):
            found[number] = item
        else:
            assert item.samples[0, 0] == number
            number += 1
    assert number == len(blocks)
    return found


@pytest.mark.slow
@given(
    stalls=st.dictionaries(st.integers(1, 280), st.floats(0.0, 0.9), max_size=2),
    jitter_ms=st.lists(st.floats(0, 25), min_size=300, max_size=300),
    adc=st.booleans(),
)
def test_a_busy_machine_loses_nothing(stalls, jitter_ms, adc):
    late = [ms / 1000 for ms in jitter_ms]
    for number, seconds in stalls.items():
        late[number] += seconds
    assert gaps(stream(300, adc=adc, late=late)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("adc", [True, False])
def test_a_machine_that_stood_still_for_a_minute_and_catches_up_loses_nothing(adc):
    assert gaps(stream(4000, adc=adc, late=[60.0 if number == 500 else 0.0 for number in range(4000)])) == {}


@pytest.mark.parametrize("adc", [True, False])
def test_a_second_stall_before_the_first_is_made_up_for_loses_nothing(adc):
    stalls = {100: 0.5, 120: 0.9}
    assert gaps(stream(300, adc=adc, late=[stalls.get(number, 0.0) for number in range(300)])) == {}


@pytest.mark.slow
@given(
    at=st.integers(30, 200),
    lost_s=st.floats(0.1, 20),
    flag=st.booleans(),
    adc=st.booleans(),
    jitter_ms=st.lists(st.floats(0, 5), min_size=300, max_size=300),
)
def test_a_loss_is_found_in_its_place_and_length(at, lost_s, flag, adc, jitter_ms):
    lost = round(lost_s * RATE_HZ)
    blocks = stream(300, losses={at: lost}, flagged={at} if flag else (), adc=adc, late=[ms / 1e3 for ms in jitter_ms])
    found = gaps(blocks)
    assert list(found) == [at]
    assert abs(found[at] - lost) <= 0.005 * RATE_HZ


def test_a_flagged_loss_of_two_blocks_is_found_and_an_unflagged_one_is_too_small_to_tell():
    blocks = stream(100, losses={50: 2 * BLOCK}, flagged={50})
    assert gaps(blocks) == {50: pytest.approx(2 * BLOCK, abs=20)}
    assert gaps(stream(100, losses={50: 2 * BLOCK})) == {}


def test_small_losses_add_up_until_they_are_made_good():
    lost = dict.fromkeys(range(50, 1050, 50), BLOCK)
    found = gaps(stream(1100, losses=lost))
    assert abs(sum(found.values()) - sum(lost.values())) <= 0.1 * RATE_HZ


def test_two_losses_shortly_after_each_other_are_both_found():
    found = gaps(stream(200, losses={100: 9600, 105: 19200}))
    assert found == {100: pytest.approx(9600, abs=20), 105: pytest.approx(19200, abs=20)}


def test_a_flag_without_a_loss_is_no_gap():
    assert gaps(stream(200, flagged={5, 50, 51, 199})) == {}


def test_an_adc_clock_that_jumps_alone_is_no_loss():
    assert gaps(stream(300, adc_jump={40: 0.2, 80: 5.0, 120: -3.0})) == {}


def test_arrivals_that_become_later_alone_are_no_loss():
    late = [0.0] * 100 + [0.4] * 200
    assert gaps(stream(300, late=late)) == {}
    assert list(gaps(stream(300, late=late, adc=False))) == [100]


@pytest.mark.slow
@pytest.mark.parametrize("drift", [-150e-6, 150e-6])
def test_a_sound_card_that_runs_a_little_slow_or_fast_loses_nothing_in_20_minutes(drift):
    assert gaps(stream(60_000, drift=drift)) == {}


def test_losses_that_are_known_are_passed_on_at_once():
    blocks = stream(100, losses={60: 4800})
    blocks[60] = Block(blocks[60].samples, blocks[60].arrived_s, blocks[60].adc_s, False, 4800)
    assert gaps(blocks) == {60: 4800}


def test_a_known_loss_inside_an_unknown_one_is_counted_once():
    blocks = stream(100, losses={60: 9600, 62: 4800})
    blocks[62] = Block(blocks[62].samples, blocks[62].arrived_s, blocks[62].adc_s, False, 4800)
    assert gaps(blocks) == {60: pytest.approx(9600, abs=20), 62: 4800}


def test_what_is_held_back_at_the_end_is_given_as_it_is():
    blocks = stream(60, losses={55: 48000})
    blocks[57] = Block(blocks[57].samples, blocks[57].arrived_s, blocks[57].adc_s, False, 4800)
    assert gaps(blocks) == {57: 4800}
