"""pyprocmail test: runs the tests that are kept beside rcfiles."""

from __future__ import annotations

import click

from pyprocmail.commands.offline.options import DIFFERENT, EPILOG, OfflineCommand, threshold
from pyprocmail.commands.offline.output import write_json
from pyprocmail.commands.values import argument, option
from pyprocmail.exits import EX_OK
from pyprocmail.offline.rules import RulesError


@click.command(cls=OfflineCommand, epilog=EPILOG.format(name="test"))
@argument("names", nargs=-1, required=True, metavar="DIR|FILE...")
@option(
    "--output-format",
    "form",
    type=click.Choice(("full", "concise", "junit", "github")),
    default="concise",
    help="The format of the results.",
)
@option("--json", "as_json", is_flag=True, help="Write JSON, one object.")
@threshold
@option("--update", is_flag=True, help="Write the actual result into the tests that fail.")
@option("-j", "workers", type=click.IntRange(1, 256), default=1, metavar="N", help="Work in N processes.")
def test(names: tuple[str, ...], form: str, as_json: bool, threshold: float, update: bool, workers: int) -> None:
    """Run the tests of rcfiles: TOML files with mails and what must become of them.

    The exit status is 1 if a test fails.

    \b
      [[test]]
      name = "a list"
      mail = \"\"\"
      Subject: the list
      \"\"\"
      folder = "Mail/lists"
    """
    from pyprocmail.offline import ruletests

    try:
        found = [(path, ruletests.cases(path)) for path in ruletests.files(names)]
    except ruletests.UnreadableError as error:
        raise RulesError(str(error)) from error
    every = [case for _, cases in found for case in cases]
    results = list(ruletests.results(every, workers, counted=threshold > 0))
    if as_json:
        write_json("test", map(ruletests.result_json, results), lambda: ruletests.sums_json(results), named="tests")
    else:
        for line in ruletests.report(results, form):
            click.echo(line)
    if update:
        for path, _ in found:
            changed = ruletests.update(path, [result for result in results if result.case.path == path])
            if changed:
                click.echo(f"{path}: wrote what happens into {changed} of its tests: review it", err=True)
    reached = ruletests.share_of(results) if threshold else 100.0
    if threshold:
        click.echo(f"{reached:.1f}% of the recipes matched in a test", err=True)
    failed = reached < threshold or any(result.failures for result in results)
    click.get_current_context().exit(DIFFERENT if failed else EX_OK)
