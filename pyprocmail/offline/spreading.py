"""The map over the parts of the input, by several processes or a cluster.

Results come in the order of the input, so that many workers give the same output as one process.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from pyprocmail.exits import in_one_line
from pyprocmail.offline.sources import PART_BYTES, Part, parts

Result = TypeVar("Result")

_TURNS = 4
"""The most pending parts for each worker, which limits the results in memory."""
_PATIENCE_S = 10
_SMALLEST_PART_BYTES = 1 << 20
"""A smaller part would cost more than it saves."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The workers: a number of processes, or those of the Dask scheduler at the address `cluster`.

    `done` is called with the size of each finished part.
    """

    workers: int = 1
    cluster: str = ""
    done: Callable[[int], None] = lambda _size: None

    @property
    def alone(self) -> bool:
        """Whether this process does all the work."""
        return self.workers < 2 and not self.cluster

    def parts(self, names: Sequence[str]) -> Iterator[Part]:
        """The parts of the input, for this process alone.

        Raises:
            NoMailError: there is no mail at a path that the user named.
        """
        for part in parts(names):
            yield part
            self.done(part.size)


ALONE = Spread()


def spread(work: Callable[[Part], Result], names: Sequence[str], how: Spread) -> Iterator[Result]:
    """The result of `work` for each part of the input, in order.

    Raises:
        NoMailError: there is no mail at a path that the user named.
        ClusterError: there is no such cluster, or it lost a part at every try.
    """
    with _executor(how) as (executor, workers):
        pieces = parts(names, _part_bytes(names, workers))
        # Workers on other machines see the same files under the same names, but have another working folder.
        there = partial(_standing_in, os.getcwd(), work) if how.cluster else work
        try:
            for part, result in mapped(executor, there, pieces, ahead=workers * _TURNS):
                yield result
                how.done(part.size)
        except Exception as error:
            if how.cluster and type(error).__module__.startswith("distributed"):
                raise ClusterError(f"{how.cluster}: the cluster gave up: {in_one_line(error)}") from error
            raise


class ClusterError(Exception):
    """The cluster cannot do the work; the message is for the user."""


@contextmanager
def _executor(how: Spread) -> Iterator[tuple[Executor, int]]:
    """The executor, and its present number of workers."""
    if not how.cluster:
        with ProcessPoolExecutor(how.workers) as executor:
            yield executor, how.workers
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError(f"{error}: install it, or pyprocmail with [cluster]") from error
    try:
        client = Client(how.cluster, timeout=_PATIENCE_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(f"{how.cluster}: no scheduler answers; start one there (dask scheduler)") from error
    with client:
        threads = client.nthreads().values()
        if any(number > 1 for number in threads):
            raise ClusterError(f"{how.cluster}: start workers with one thread (dask worker --nthreads 1 --nworkers N)")
        # A part whose worker dies goes to another worker; `pure` would run equal parts only once.
        yield client.get_executor(pure=False), max(len(threads), 1)


def _standing_in(folder: str, work: Callable[[Part], Result], part: Part) -> Result:
    """Do the work in the caller's folder; this is safe because a worker has one thread."""
    with chdir(folder):
        return work(part)


def mapped(
    executor: Executor, work: Callable[[Part], Result], pieces: Iterable[Part], *, ahead: int
) -> Iterator[tuple[Part, Result]]:
    """The result of `work` for each piece, by an executor, in order; at most `ahead` pieces are pending."""
    waiting: deque[tuple[Part, Future[Result]]] = deque()
    for piece in pieces:
        waiting.append((piece, executor.submit(work, piece)))
        if len(waiting) >= ahead:
            first, future = waiting.popleft()
            yield first, future.result()
    for piece, future in waiting:
        yield piece, future.result()


def _part_bytes(names: Sequence[str], workers: int) -> int:
    """A size that gives each worker several parts, so that all finish at about the same time."""
    files = [Path(name) for name in names]
    if not all(file.is_file() for file in files):
        return PART_BYTES
    total = sum(file.stat().st_size for file in files)
    return min(max(total // (workers * _TURNS), _SMALLEST_PART_BYTES), PART_BYTES)
