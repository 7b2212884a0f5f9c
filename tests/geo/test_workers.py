"""Work on several processes gives what one gives."""

import os
import signal

import pytest

from geo.errors import InputError, OutputError
from geo.workers import cores, spread


def doubled(thing, shared):
    return thing * shared


def refused(thing, shared):
    if thing == shared:
        raise InputError(f"第 {thing} 个不能做")
    return thing


def killed(thing, shared):
    if thing == shared:
        os.kill(os.getpid(), signal.SIGKILL)
    return thing


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_things_and_each_is_told_once(workers):
    told = []
    result = spread(
        doubled,
        [5, 3, 9, 1, 7],
        2,
        workers=workers,
        tell=lambda *done: told.append(done),
        name=lambda n: f"n{n}",
    )
    assert result == [10, 6, 18, 2, 14]
    assert [done for done, _, _ in told] == [0, 1, 2, 3, 4, 5]
    assert {total for _, total, _ in told} == {5}
    assert sorted(name for _, _, name in told[1:]) == ["n1", "n3", "n5", "n7", "n9"]


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_to_do_gives_nothing(workers):
    assert spread(doubled, [], 2, workers=workers) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_what_one_refuses_is_refused_in_its_own_words(workers):
    with pytest.raises(InputError, match="第 3 个不能做"):
        spread(refused, [1, 2, 3, 4], 3, workers=workers)


@pytest.mark.skipif(os.name != "posix", reason="signals of another kind")
def test_a_process_the_system_ends_is_one_clear_error():
    with pytest.raises(OutputError, match="--jobs"):
        spread(killed, [1, 2, 3], 2, workers=2)


def test_a_stop_by_the_user_stops_the_work():
    def stop(done, _total, _name):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spread(doubled, list(range(6)), 2, workers=2, tell=stop)


def test_no_number_means_every_core_and_a_number_itself():
    assert cores(3) == 3
    assert 1 <= cores(0) <= (os.cpu_count() or 1)


begun = []


def begin():
    begun.append("here")


def how_begun(_thing, _shared):
    return list(begun)


@pytest.mark.parametrize(("workers", "times"), [(1, 0), (2, 1)])
def test_each_further_process_begins_once_and_this_one_not(workers, times):
    assert spread(how_begun, [1, 2, 3, 4], None, workers=workers, begin=begin) == [["here"] * times] * 4


@pytest.mark.skipif(os.name != "posix", reason="signals of another kind")
def test_whoever_keeps_what_is_done_says_what_to_do_in_its_own_words():
    with pytest.raises(OutputError, match=r"加 --resume 接着运行$"):
        spread(killed, [1, 2, 3], 2, workers=2, advice="加 --resume 接着运行")
