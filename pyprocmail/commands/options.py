"""procmail's command line.  procmail(1), OPTIONS and ARGUMENTS."""

from __future__ import annotations

from pyprocmail.numerals import whole

_MOST_WORKERS = 256

USAGE = b"""\
Usage: procmail [-vptoY] [-f fromwhom] [parameter=value | rcfile] ...
   Or: procmail [-toY] [-f fromwhom] [-a argument] ... -d recipient ...
   Or: procmail [-ptY] [-f fromwhom] -m [parameter=value] ... rcfile [arg] ...
   Or: procmail [-toY] [-a argument] ... -z
"""

HELP = b"""\
  -v            print the version and exit
  -p            preserve the environment
  -t            fail softly: what cannot be delivered is tried again (exit 75)
  -f fromwhom   (re)generate the From_ line; -f - only renews its date
  -o            override the From_ line instead of faking it
  -Y            Berkeley mailboxes: ignore Content-Length
  -a argument   is $1 in the rcfile; may be repeated
  -d recipient  deliver to the recipients
  -m            mail filter: the rcfile is the first operand, the others are $1, $2 ...
"""


class Options:
    """The parsed command line; `messages` has the errors to print.

    `action` is the action in place of a delivery: "version", "help", "refuse", or "" for none.
    """

    __slots__ = (
        "action", "preserve", "requeue", "override", "berkeley", "sender", "arguments", "deliver",
        "mail_filter", "operands", "messages",
    )  # fmt: skip

    def __init__(self) -> None:
        self.action = ""
        self.preserve = False
        self.requeue = False
        self.override = False
        self.berkeley = False
        self.sender: bytes | None = None
        self.arguments: list[bytes] = []
        self.deliver = False
        self.mail_filter = False
        self.operands: list[bytes] = []
        self.messages: list[bytes] = []


def parse(argv: list[bytes], *, as_recipient: bool = False) -> Options:
    """The options in `argv` (without the program's name).

    `as_recipient`: we were called under a name other than procmail, so the operands are recipients.
    """
    options = Options()
    rest = list(argv)
    while rest and rest[0][:1] == b"-" and not options.deliver and not options.action:
        cluster = rest.pop(0)[1:]
        if cluster == b"-":
            break
        if not cluster:
            # A lone "-" ends the options, and is dropped.
            break
        _read_cluster(options, cluster, rest)
        if options.mail_filter and b"m" in cluster and not rest:
            break
    options.operands = rest
    options.deliver = options.deliver or as_recipient
    _settle(options)
    return options


def _read_cluster(options: Options, cluster: bytes, rest: list[bytes]) -> None:
    while cluster:
        letter, cluster = cluster[:1], cluster[1:]
        if letter == b"v":
            options.action = "version"
            return
        if letter in b"h?":
            options.action = "help"
            return
        if letter == b"z":
            options.action = "refuse"
            return
        if letter == b"p":
            options.preserve = True
        elif letter == b"m":
            options.mail_filter = True
        elif letter == b"o":
            options.override = True
        elif letter in b"Yy":
            options.berkeley = True
        elif letter == b"t":
            options.requeue = True
        elif letter in b"fr":
            options.sender = _value(options, cluster, rest, b"Missing name")
            return
        elif letter == b"a":
            value = _value(options, cluster, rest, b"Missing argument")
            if value is not None:
                options.arguments.append(value)
            return
        elif letter == b"d":
            if cluster:
                rest.insert(0, cluster)
            if rest:
                options.deliver = True
            else:
                options.messages.append(b"procmail: Missing recipient\n")
            return
        elif letter == b"-" and not cluster:
            rest.insert(0, b"--")  # the end of the options
            return
        else:
            unknown = cluster if letter == b"-" else letter + cluster
            text = b'procmail: Unrecognised options: "%b"\n' % unknown
            options.messages += [text, USAGE, b"Processing continued\n"]
            return


def _value(options: Options, cluster: bytes, rest: list[bytes], missing: bytes) -> bytes | None:
    if cluster:
        return cluster
    if rest:
        return rest.pop(0)
    options.messages.append(b"procmail: " + missing + b"\n")
    return None


def _settle(options: Options) -> None:
    """Resolve options that exclude each other."""
    if options.deliver and (options.preserve or options.mail_filter):
        options.messages += [b"procmail: Conflicting options\n", USAGE]
        options.preserve = options.mail_filter = False
    elif options.mail_filter and options.arguments:
        options.messages += [b"procmail: Conflicting options\n", USAGE]
        options.arguments = []


AUTO, SINGLE, MBOX = "auto", "single", "mbox"


class Input:
    """Our own options: the kind of standard input, and how to process a mailbox there.

    `mode`: SINGLE mail, MBOX, or AUTO to detect it.  `sync_each`: every mail of a mailbox is on disk before the next is
    read.  `workers` processes examine its mails.  `wrong` is the message about a wrong option.
    """

    __slots__ = ("mode", "sync_each", "workers", "wrong")

    def __init__(self, mode: str = SINGLE) -> None:
        self.mode = mode
        self.sync_each = False
        self.workers = 1
        self.wrong = b""


def take_input(argv: list[bytes]) -> tuple[list[bytes], Input]:
    """The command line without our own options, and these."""
    given = Input(AUTO)
    rest, left = argv[:1], argv[1:]
    while left and left[0].startswith(b"-"):
        word = left.pop(0)
        if word == b"--mbox":
            given.mode = MBOX
        elif word == b"--single":
            given.mode = SINGLE
        elif word == b"--sync-each":
            given.sync_each = True
        elif word.startswith(b"-j"):
            number = word[2:] or (left.pop(0) if left else b"")
            count = whole(number) or 0
            if 1 <= count <= _MOST_WORKERS:
                given.workers = count
            else:
                given.wrong = b"-j takes a number of processes, 1 to %d, not '%b'" % (_MOST_WORKERS, number)
        else:
            rest.append(word)
    return rest + left, given
