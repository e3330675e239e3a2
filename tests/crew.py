"""Ranks as threads of one process: the group contract without MPI, so that hypothesis can draw its examples on any number."""

import queue
import threading

import numpy as np

PATIENCE = 20.0
BROKEN = object()


class Mate:
    """One rank. Messages from one rank to another arrive in the order they were sent, as MPI promises; each must find a receive
    of its own shape and dtype. `sent` counts them, `rounds` the exchanges."""

    def __init__(self, rank, ways):
        self.rank, self.size, self.ways = rank, len(ways), ways
        self.seconds, self.sent, self.rounds = 0.0, 0, 0

    def send(self, other, what):
        self.ways[self.rank][other].put(what)

    def take(self, other):
        what = self.ways[other][self.rank].get(timeout=PATIENCE)
        if what is BROKEN:
            raise ConnectionError(f"rank {other} is gone")
        return what

    def exchange(self, sends, receives):
        self.sent, self.rounds = self.sent + len(sends), self.rounds + 1
        for other, tensor in sends:
            assert other != self.rank and tensor.is_contiguous() and tensor.numel()
            self.send(other, tensor.clone())
        for other, tensor in receives:
            assert tensor.is_contiguous()
            message = self.take(other)
            assert message.shape == tensor.shape and message.dtype == tensor.dtype, (message.shape, tensor.shape)
            tensor.copy_(message)

    def sum_to_root(self, numbers):
        if self.rank:
            self.send(0, np.array(numbers))
            return numbers
        return sum((self.take(other) for other in range(1, self.size)), np.array(numbers))

    def rows_to_root(self, rows, counts):
        assert len(rows) == counts[self.rank]
        if self.rank:
            self.send(0, np.array(rows))
            return rows
        return np.concatenate([rows, *(self.take(other) for other in range(1, self.size))])

    def broadcast(self, numbers):
        if self.rank:
            numbers[:] = self.take(0)
        else:
            for other in range(1, self.size):
                self.send(other, np.array(numbers))
        return numbers


def crew(size, work):
    """What `work(group)` gives on each of `size` ranks; the first rank's exception is raised. No message may be left over."""
    ways = [[queue.SimpleQueue() for _ in range(size)] for _ in range(size)]
    answers, troubles = [None] * size, [None] * size

    def one(rank):
        try:
            answers[rank] = work(Mate(rank, ways))
        except BaseException as trouble:
            troubles[rank] = trouble
            for way in ways[rank]:
                way.put(BROKEN)

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for trouble in sorted(filter(None, troubles), key=lambda t: isinstance(t, ConnectionError)):
        raise trouble
    assert all(way.empty() for row in ways for way in row), "a message was never received"
    return answers
