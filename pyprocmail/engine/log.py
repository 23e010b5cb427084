"""The log: every text that users grep for is built here.

A note is a kind and the texts that belong in it.  The table gives the reference's own words and
whether they are written only when VERBOSE is on.  procmail(1), DIAGNOSTICS.
"""

from __future__ import annotations

ALWAYS, VERBOSE = False, True

NOTES: dict[str, tuple[bytes, bool]] = {
    # reading the rcfile
    "skipped": (b'Skipped "%b"', ALWAYS),
    "missing-action": (b"Missing action", ALWAYS),
    "incomplete-recipe": (b"Incomplete recipe", ALWAYS),
    "missing-closing-brace": (b"Missing closing brace", ALWAYS),
    "closing-brace-unexpected": (b"Closing brace unexpected", ALWAYS),
    "unexpected-eol": (b"Unexpected EOL", ALWAYS),
    "bad-substitution": (b'Bad substitution of "%b"', ALWAYS),
    "exceeded-linebuf": (b"Exceeded LINEBUF", ALWAYS),
    "output-quenched": (b'Excessive output quenched from "%b"', ALWAYS),
    "suspicious-rcfile": (b'Suspicious rcfile "%b"', ALWAYS),
    "couldnt-read": (b"Couldn't read \"%b\"", ALWAYS),
    "invalid-regexp": (b'Invalid regexp "%b"', ALWAYS),
    "extraneous": (b"Extraneous %b ignored", ALWAYS),
    "conflicting": (b"Conflicting %b suppressed", ALWAYS),
    "rcfile": (b'Rcfile: "%b"', VERBOSE),
    # running it
    "assigning": (b'Assigning "%b"', VERBOSE),
    "executing": (b'Executing "%b"', VERBOSE),
    "match": (b'Match on%b "%b"', VERBOSE),
    "no-match": (b'No match on%b "%b"', VERBOSE),
    "matched": (b'Matched "%b"', VERBOSE),
    "score": (b'Score: %7d %b%b "%b"', VERBOSE),
    "couldnt-chdir": (b"Couldn't chdir to \"%b\"", ALWAYS),
    "host-mismatched": (b'HOST mismatched "%b"', VERBOSE),
    "assuming-identity": (b"Assuming identity of the recipient, VERBOSE=off", VERBOSE),
    "notified-comsat": (b'Notified comsat: "%b"', VERBOSE),
    # programs
    "program-failure": (b'Program failure (%d) of "%b"', ALWAYS),
    "non-zero-exitcode": (b'Non-zero exitcode (%d) from "%b"', VERBOSE),
    "rescue-succeeded": (b"Rescue of unfiltered data succeeded", ALWAYS),
    "rescue-failed": (b"Rescue of unfiltered data failed", ALWAYS),
    "failed-forking": (b'Failed forking "%b"', ALWAYS),
    "failed-to-execute": (b'Failed to execute "%b"', ALWAYS),
    "forking": (b'Forking "%b"', VERBOSE),
    "timeout-terminating": (b'Timeout, terminating "%b"', ALWAYS),
    "timeout-waiting": (b'Timeout, was waiting for "%b"', ALWAYS),
    "terminating-prematurely": (b"Terminating prematurely", ALWAYS),
    "terminating-whilst-waiting": (b"Terminating prematurely whilst waiting for %b", ALWAYS),
    # locks
    "locking": (b'Locking "%b"', VERBOSE),
    "unlocking": (b'Unlocking "%b"', VERBOSE),
    "couldnt-unlock": (b"Couldn't unlock \"%b\"", ALWAYS),
    "lock-failure": (b'Lock failure on "%b"', ALWAYS),
    "forcing-lock": (b'Forcing lock on "%b"', ALWAYS),
    "forced-unlock-denied": (b'Forced unlock denied on "%b"', ALWAYS),
    "deadlock-attempted": (b'Deadlock attempted on "%b"', ALWAYS),
    "truncating-lock-name": (b'Truncating "%b" and retrying lock', ALWAYS),
    "couldnt-determine-lockfile": (b"Couldn't determine implicit lockfile from \"%b\"", ALWAYS),
    # folders
    "opening": (b'Opening "%b"', VERBOSE),
    "acquiring-kernel-lock": (b"Acquiring kernel-lock", VERBOSE),
    "linking": (b'Linking to "%b"', VERBOSE),
    "error-writing": (b'Error while writing to "%b"', ALWAYS),
    "no-space": (b'No space left to finish writing "%b"', ALWAYS),
    "quota-exceeded": (b'Quota exceeded while writing "%b"', ALWAYS),
    "truncated": (b"Truncated file to former size", ALWAYS),
    "unable-as-directory": (b'Unable to treat as directory "%b"', ALWAYS),
    "couldnt-make-temp": (b'Couldn\'t create or rename temp file "%b"', ALWAYS),
    "couldnt-make-link": (b'Couldn\'t make link to "%b"', ALWAYS),
    "couldnt-create": (b'Couldn\'t create "%b"', ALWAYS),
    "renaming-bogus": (b'Renaming bogus mailbox "%b" info "%b"', ALWAYS),
    "enforcing-permissions": (b'Enforcing stricter permissions on "%b"', ALWAYS),
    "autoforwarding": (b"Autoforwarding mailbox found", ALWAYS),
}
