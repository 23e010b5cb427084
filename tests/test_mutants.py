"""Every fault of mutants.toml is noticed: `make mutants`."""

import ast
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import mutation
import pytest
from conftest import ROOT
from mutation import RED, Mutant, Workshop

MUTANTS = mutation.mutants()
EACH = pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])


@EACH
def test_it_applies(mutant: Mutant) -> None:
    """Where code has moved the list moves with it; and what is put in its place is Python."""
    changed = mutant.apply(mutation.source(mutant))
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(mutation.source(mutant)))
    assert mutant.tests
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / "tests" / file).read_text(), test


@pytest.fixture(scope="session")
def workshop() -> Iterator[Workshop]:
    """The copy of this process, in a place where other users can go."""
    folder = Path(tempfile.mkdtemp(prefix="mutants."))
    try:
        yield Workshop(folder)
    finally:
        shutil.rmtree(folder)


def skip_unless_run(mutant: Mutant) -> None:
    """Only root can try some of them."""
    if mutant.needs_root and os.geteuid() != 0:
        pytest.skip("only root can become somebody else")


@pytest.mark.slow
@EACH
def test_it_is_noticed(mutant: Mutant, workshop: Workshop) -> None:
    skip_unless_run(mutant)
    done = workshop.try_out(mutant)
    assert done.returncode == RED, done.stdout[-3000:]


def in_file(file: str) -> list[str]:
    """Those of a file that have to notice a mutant."""
    return sorted({test for mutant in MUTANTS for test in mutant.tests if test.startswith(file + "::")})


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted({test.split("::")[0] for mutant in MUTANTS for test in mutant.tests}))
def test_without_a_fault_all_is_green(file: str, workshop: Workshop) -> None:
    """Else they would be red for another reason."""
    done = workshop.run(in_file(file))
    assert done.returncode == 0, done.stdout[-3000:]


def test_a_list_that_is_stale_says_so() -> None:
    mutant = Mutant("gone", "host.py", "what is not there", "x", (), needs_root=False)
    with pytest.raises(mutation.StaleMutantError, match="gone: its text is 0 times"):
        mutant.apply(mutation.source(mutant))
