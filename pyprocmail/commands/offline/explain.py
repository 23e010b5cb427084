"""pyprocmail explain: shows the way of each mail through the rules."""

from __future__ import annotations

import click

from pyprocmail.commands.colours import echo
from pyprocmail.commands.offline.options import EPILOG, OfflineCommand, about_rules, setup_of
from pyprocmail.commands.offline.output import write_json
from pyprocmail.commands.values import argument, option
from pyprocmail.offline.outcome import open_rules
from pyprocmail.offline.sources import mails


@click.command(cls=OfflineCommand, epilog=EPILOG.format(name="explain"))
@argument("rcfile")
@argument("mail", nargs=-1)
@option("--recipe", type=int, default=0, metavar="LINE", help="Show only the recipe that begins in this line.")
@option("--all", "everything", is_flag=True, help="Also show variables, programs, locks and skipped recipes.")
@option("--json", "as_json", is_flag=True, help="Write JSON, one object.")
@about_rules
def explain(rcfile: str, mail: tuple[str, ...], recipe: int, everything: bool, as_json: bool, **named: object) -> None:
    """Show how each MAIL passes through RCFILE, and why it ends where it does.

    If a pattern does not match, it shows how far it got, and which text nearly matches.

    \b
      pyprocmail explain ~/.procmailrc message.eml
      pyprocmail explain --recipe 20 rules.rc < message.eml
    """
    from pyprocmail.offline import explain as explaining

    setup = setup_of(rcfile, **named)  # type: ignore[arg-type]  # click calls with what `about_rules` names
    with open_rules(setup, told=True) as rules:
        explained = (explaining.explain(rules, one) for one in mails(mail))
        if as_json:
            write_json("explain", map(explaining.explained_json, explained))
            return
        gap = ""
        for found in explained:
            echo(gap + "\n".join(explaining.lines(found, everything=everything, recipe=recipe)))
            gap = "\n"
