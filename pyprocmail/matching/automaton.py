r"""Exact positions: where a match ends, what `\/` gives to MATCH, which matches a score counts.

This simulates procmail's breadth-first search, one step a byte.  The steps are remembered as the
transitions of a deterministic automaton, so the time is linear in the text.  The answers are the
reference's, including its early MATCH after a `+`: `x+.*\/y` finds "x1y" in "xx1y".  Two things
differ on purpose: every search terminates, and `a\/|b` is read as written, unless the caller asks
for the reference's reading.

Offsets count in a padded text: a newline, the text, a newline; see regex.Area.
"""

from __future__ import annotations

from pyprocmail.matching import egrep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    # A live thread: the node that has just consumed a byte, and the rank of its split.
    Thread = tuple[int, int]
    _Left = tuple[set[int], set[int]]

UNSET = 1 << 62  # no `\/` crossed yet: later than any split
NO_SPLIT = -1

# Input symbols other than bytes.
_FIRST, _LAST, _OVER = 256, 257, 258
_LF = 10

_FORK, _CROSS, _ACCEPT, _CONSUME = range(4)

# How many states, and threads in them, are remembered before all are forgotten.
_STATES_LIMIT = 2_000
_THREADS_LIMIT = 200_000

_ASCII_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_WORD = _ASCII_LETTERS + b"0123456789_"


class _State:
    """A set of threads, ordered by creation; `recorded` once some match is complete.

    `plain` has the transitions in which no split moves and no match completes.  `longer` has those of a state with
    one split, already passed, in which a match with that split completes: it is longer than the one before.
    """

    __slots__ = ("threads", "recorded", "plain", "longer", "edges")

    def __init__(self, threads: tuple[Thread, ...], recorded: bool) -> None:
        self.threads = threads
        self.recorded = recorded
        self.plain: list[_State | None] = [None] * 256
        self.longer: list[_State | None] = [None] * 256
        self.edges: dict[int, _Edge] = {}


class _Edge:
    """A transition: `sources` are the old ranks that the new ranks 0, 1, ... come from.

    A source one above the old ranks means the present offset.  `record` is the rank of the match
    that completes, or NO_SPLIT if none does; UNSET is a match without a split, which ends the search.
    `left`: if a search ends here, the nodes with a split that had arrived, and those not yet followed.
    """

    __slots__ = ("state", "sources", "record", "left")

    def __init__(self, state: _State, sources: tuple[int, ...], record: int, left: _Left) -> None:
        self.state = state
        self.sources = sources
        self.record = record
        self.left = left


class Automaton:
    r"""One pattern, ready to find matches.

    Unless read `literally`, a `\/` continues with the text written after it, as in the reference: in
    `a\/|b` with the `b`, in `(a\/)*b` without another round.  And `x(a*|b?)c?d` does not match "xaad" (see
    `_way_through`).  `strays`: the pattern has such a place.  Successive searches do not begin afresh then: the next
    one does not enter the nodes that the last one left (see `successive`).
    """

    __slots__ = (
        "strays", "_kinds", "_next", "_other", "_accepts", "_entry", "_splits", "_leaves", "_states", "_threads",
        "_initial",
    )  # fmt: skip

    def __init__(self, pattern: egrep.Pattern, *, fold: bool, literally: bool = True) -> None:
        self.strays = False
        self._kinds = [_ACCEPT]
        self._next = [0]
        self._other = [0]  # second branch of a fork
        self._accepts: list[bytes] = [b""]  # for each symbol, whether the node consumes it
        self._splits = pattern.has_split
        self._leaves = pattern.has_split and not literally
        self._entry = self._build(pattern, fold, literally)
        self._forget()

    # -- construction

    def _build(self, pattern: egrep.Pattern, fold: bool, literally: bool) -> int:
        """Nodes for the pattern, made from its end so that each knows what follows; the entry."""
        tables: dict[egrep.Token, bytes] = {}
        # For each open group: what its alternatives lead to, the entry of those already read, and
        # for the group as an atom its quantifier, the quantifier's fork, and what follows.
        after = 0
        later: int | None = None
        # The last two: the first node of the alternative, and whether the empty text can match after it, in the group.
        outer: list[tuple[int, int | None, int, int, int, int, bool]] = []
        first, again = 1, False
        here = 0
        # The text written after a `\/`, with which the reference continues; not always the logical successor.
        behind = 0
        quantifier = 0
        # Whether nothing is written between here and the end of the alternative.
        empty = True
        for token in reversed(pattern.tokens):
            if not literally and token in (egrep.OR, egrep.OPEN):
                here, again = self._way_through(here, first, after, again)
            if token == egrep.OR:
                first = len(self._kinds)
                later = behind = self._alternative(here, later, empty)
                here, empty = after, True
                continue
            if token in (egrep.STAR, egrep.PLUS, egrep.OPTIONAL):
                quantifier = token
                continue
            if token == egrep.OPEN:
                here = self._alternative(here, later, empty)
                empty = False
                after, later, kind, fork, follow, first, again = outer.pop()
                here = behind = self._quantify(kind, fork, here, follow)
                continue
            kind, quantifier = quantifier, 0
            follow = here
            fork = self._node(_FORK, 0, 0) if kind else 0
            if kind in (egrep.STAR, egrep.PLUS):
                here = fork
            if kind == egrep.PLUS:
                behind = fork
            if token == egrep.CLOSE:
                outer.append((after, later, kind, fork, follow, first, again))
                after, later, empty = here, None, True
                first, again = len(self._kinds), kind == egrep.OPTIONAL
                continue
            empty = False
            if token == egrep.SPLIT:
                self.strays = self.strays or behind != here
                here = self._node(_CROSS, here if literally else behind, 0)
            else:
                if token not in tables:
                    tables[token] = table(token, fold)
                here = self._node(_CONSUME, here, 0, tables[token])
            here = behind = self._quantify(kind, fork, here, follow)
        return self._alternative(here, later, empty)

    def _node(self, kind: int, following: int, other: int, accepts: bytes = b"") -> int:
        self._kinds.append(kind)
        self._next.append(following)
        self._other.append(other)
        self._accepts.append(accepts)
        return len(self._kinds) - 1

    def _alternative(self, entry: int, later: int | None, empty: bool) -> int:
        """The entry of an alternative and of those after it; an empty one is tried last."""
        if later is None:
            return entry
        return self._node(_FORK, later, entry) if empty else self._node(_FORK, entry, later)

    def _way_through(self, entry: int, first: int, after: int, again: bool) -> tuple[int, bool]:
        """The entry of an alternative, and whether the empty text can match the group from here on.

        If several ways lead through a group to a fork after it without taking a byte, the reference takes only the
        last (`again`: there is one after this alternative).  A thread that has taken a byte does not return to the
        forks of the other ways; it continues after the group: so `x(a*|b?)c?d` matches "xad" and not "xaad".
        """
        if self._kinds[after] != _FORK:
            return entry, again
        forks: set[int] = set()
        todo = [entry]
        while todo:
            node = todo.pop()
            if node != after and node not in forks and self._kinds[node] == _FORK:
                forks.add(node)
                todo += (self._next[node], self._other[node])
        ways = [entry, *(branch[node] for node in forks for branch in (self._next, self._other))]
        if after not in ways:
            return entry, again
        if again:
            self.strays = True
            nowhere = self._node(_CONSUME, 0, 0, bytes(_OVER + 1))
            for node in range(first, nowhere):
                for branch in (self._next, self._other):
                    if node in forks and branch[node] == after:
                        branch[node] = nowhere
                    elif node not in forks and branch[node] in forks:
                        branch[node] = after
            entry = nowhere if entry == after else entry
        return entry, True

    def _quantify(self, kind: int, fork: int, atom: int, follow: int) -> int:
        """Complete the fork of a quantified atom; the entry of the whole."""
        if not kind:
            return atom
        if atom in (fork, follow):
            # The atom is empty: so is any number of it.
            return follow
        if kind == egrep.PLUS:
            # What follows is tried before another round; this causes the early MATCH.
            self._next[fork], self._other[fork] = follow, atom
            return atom
        self._next[fork], self._other[fork] = atom, follow
        return fork

    # -- the states

    def _forget(self) -> None:
        self._states: dict[tuple[tuple[Thread, ...], bool], _State] = {}
        self._threads = 0
        self._initial = self._state((), False)

    def _state(self, threads: tuple[Thread, ...], recorded: bool) -> _State:
        key = (threads, recorded)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = _State(threads, recorded)
            self._threads += len(threads)
        return state

    def _edge(self, state: _State, symbol: int, lost: set[int] | None = None) -> _Edge:
        """The transition of `state` on `symbol`, made on first use; no thread enters a node of `lost`."""
        edge = None if lost else state.edges.get(symbol)
        if edge is not None:
            return edge
        if len(self._states) > _STATES_LIMIT or self._threads > _THREADS_LIMIT:
            self._forget()
        ranks = 1 + max((rank for _, rank in state.threads if rank != UNSET), default=-1)
        arrived, record, left = self._step(state, symbol, ranks, lost or set())
        sources = sorted({rank for rank in arrived.values() if rank != UNSET})
        places = {rank: place for place, rank in enumerate(sources)}
        places[UNSET] = UNSET
        threads = [(node, places[rank]) for node, rank in arrived.items()]
        if not self._splits:
            threads.sort()  # only splits need the order, and this makes fewer states
        following = self._state(tuple(threads), state.recorded or record >= 0)
        edge = _Edge(following, tuple(sources), record, left)
        if lost:
            return edge
        state.edges[symbol] = edge
        finished = following.recorded and not threads
        if symbol < _FIRST and not finished and sources == list(range(ranks)):
            if record < 0:
                state.plain[symbol] = following
            elif ranks == 1 and record == 0:
                state.longer[symbol] = following
        return edge

    def _step(self, state: _State, symbol: int, now: int, lost: set[int]) -> tuple[dict[int, int], int, _Left]:
        """Feed one symbol: the threads that arrive, in order, and the other values of an _Edge.

        Each thread is followed depth first with one register for its split.  Crossing `\\/` sets it
        for every node visited later, including the other branches of earlier forks.
        """
        kinds, following, other, accepts = self._kinds, self._next, self._other, self._accepts
        recorded, record = state.recorded, NO_SPLIT
        arrived: dict[int, int] = {}
        waiting = list(state.threads)
        roots = [] if recorded or symbol >= _LAST else [self._entry]
        seen: set[int] = set()
        while roots or waiting:
            if roots:
                root, rank = roots.pop(), UNSET
            else:
                node, rank = waiting.pop()
                root = following[node]
            if 0 <= record < rank:
                continue
            if self._splits:
                seen = set()
            todo = [root]
            while todo:
                node = todo.pop()
                kind = kinds[node]
                # After a crossing a node is visited once more, with the new split.
                key = ~node if rank == now else node
                if key in seen:
                    continue
                seen.add(key)
                if kind == _FORK:
                    todo += (other[node], following[node])
                elif kind == _CROSS:
                    if not recorded:
                        rank = now
                    todo.append(following[node])
                elif kind == _ACCEPT or (symbol == _LAST and accepts[node][_LAST] == _END_HERE):
                    if rank == UNSET:
                        if not recorded:
                            return {}, UNSET, (_with_split(arrived.items()), _with_split(waiting))
                    elif not 0 <= record < rank:
                        recorded, record = True, rank
                        arrived = {node: held for node, held in arrived.items() if held <= rank}
                elif (
                    accepts[node][symbol]
                    and not 0 <= record < rank
                    and rank < arrived.get(node, UNSET + 1)
                    and node not in lost
                ):
                    arrived[node] = rank
        return arrived, record, (_with_split(arrived.items()), set())

    # -- searching

    def find(self, padded: bytes | memoryview, start: int = 0, left: _Left | None = None) -> tuple[int, int] | None:
        """The first match of a search that begins at `start`: its split, or NO_SPLIT, and its end.

        Without a split the match is the one that ends first.  No match starts at the newline
        after the text, unless the search itself begins there: then one more newline follows.
        `left` has the nodes that earlier searches left at even and at odd steps; this search adds its own.
        """
        if left is None:
            left = (set(), set())
        last = len(padded) - 1
        state = self._initial
        splits: tuple[int, ...] = ()
        found: tuple[int, int] | None = None
        symbols: list[tuple[int, int]] = [(last, _LAST), (last + 1, _OVER)]
        if start == last:
            symbols = [(last, _LF), (last + 1, _LAST), (last + 2, _OVER)]
        at = start
        while True:
            if at < last and at and not any(left):
                # `at` continues from its value, and is used below.
                for at, symbol in enumerate(memoryview(padded)[at:last], at):  # noqa: B020 (see above)
                    following = state.plain[symbol]
                    if following is None:
                        following = state.longer[symbol]
                        if following is None:
                            break
                        found = splits[0], at
                    state = following
                else:
                    at = last
                    continue
            elif at < last:
                symbol = padded[at] if at else _FIRST
            else:
                at, symbol = symbols.pop(0)
            here, there = left if (at - start) % 2 == 0 else left[::-1]
            edge = self._edge(state, symbol, here)
            if edge.record >= 0:
                if edge.record == UNSET:
                    here |= edge.left[0]
                    there |= edge.left[1]
                    return NO_SPLIT, at
                found = (splits[edge.record] if edge.record < len(splits) else at), at
            state = edge.state
            if symbol == _OVER or (state.recorded and not state.threads):
                here |= edge.left[0]
                return found
            splits = tuple([splits[source] if source < len(splits) else at for source in edge.sources])
            at += 1

    def end(self, padded: bytes | memoryview, start: int) -> int:
        r"""The end of the match that `find` would find, for a pattern without `\/`; -1 if there is none."""
        last = len(padded) - 1
        if 0 < start < last:
            state = self._initial
            for at, symbol in enumerate(memoryview(padded)[start:last], start):
                following = state.plain[symbol]
                if following is None:
                    edge = self._edge(state, symbol)
                    if edge.record == UNSET:
                        return at
                    following = edge.state
                state = following
        found = self.find(padded, start)
        return -1 if found is None else found[1]

    def successive(self, padded: bytes | memoryview, start: int = 0) -> Iterator[tuple[int, int, bool]]:
        r"""The matches that a score counts: split or NO_SPLIT, end, and whether it was empty.

        Each search begins where the match before it ended; a newline that ended that match can begin
        the next.  An empty match does not advance, and is the last.  `start` is where the first search
        may begin, if the caller knows that no match starts earlier.

        The reference keeps its threads in two lists, one for even and one for odd steps of a search.  It considers a
        node listed if the node has a split's offset.  A search that ends early leaves such nodes in its lists, so
        `a|\/b` does not find the "b" of "ab": that node was already listed when the match of the "a" was noticed.
        """
        bottom = 1
        over = len(padded) - 1
        left: _Left | None = None
        if self._leaves:
            start, left = 0, (set(), set())
        while bottom <= over:
            found = self.find(padded, max(start, bottom - 1 if padded[bottom - 1] == _LF else bottom), left)
            if found is None:
                return
            split, end = found
            if split > over:
                split = NO_SPLIT
            if split != NO_SPLIT:
                end = min(end, over)
            yield split, end, end <= bottom
            if end <= bottom:
                return
            bottom = end
            start = 0


_END_HERE = 2


def _with_split(threads: Iterable[Thread]) -> set[int]:
    return {node for node, rank in threads if rank != UNSET}


def table(token: egrep.Token, fold: bool) -> bytes:
    """For each symbol a 1 if the token consumes it, or a 2 if the match ends before it: END and the last newline."""
    table = bytearray(_OVER + 1)
    if isinstance(token, tuple):
        for low, high in zip(token[1::2], token[2::2], strict=True):
            table[low : high + 1] = b"\1" * (high + 1 - low)
        if fold:
            for letter in _ASCII_LETTERS:
                table[letter] |= table[letter ^ 0x20]
        if token[0]:
            table = bytearray([not member for member in table])
            table[_LF] = 0
    elif token == egrep.ANY:
        table[:256] = b"\1" * 256
        table[_LF] = 0
    elif token == egrep.NEWLINE:
        table[_LF] = 1
    elif token == egrep.WORD_EDGE:
        table[:256] = b"\1" * 256
        for letter in _WORD:
            table[letter] = 0
    elif token == egrep.START:
        table[_FIRST] = 1
        return bytes(table)
    elif token == egrep.END:
        table[_FIRST] = 1
        table[_LAST] = _END_HERE
        return bytes(table)
    else:
        table[token] = 1
        if fold and token in _ASCII_LETTERS:
            table[token ^ 0x20] = 1
    table[_FIRST] = table[_LAST] = table[_OVER] = table[_LF]
    return bytes(table)
