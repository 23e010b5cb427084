"""Numbers that users and strangers write: each reader against the C library, each place where a number may stand.

No number ends in a traceback, in a program that does not end, or in a mail that is not delivered.
"""

import ctypes
import itertools
import math
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocmail import numerals
from pyprocmail.maildrop import arithmetic
from pyprocmail.procmail.effects import EFFECTS

VALUES = (
    "0", "-1", "2147483648", "-2147483649", "4294967297", "9223372036854775808", "-9223372036854775809",
    "100000000000000000000", "123456789012345678901234", "1e400", "-1e400", "1e-400", "nan", "-nan", "inf", "0x1p4000",
    "0x0p99999999999999999999", "0x1p-5", "9" * 5000, "-" + "9" * 5000, "0" * 5000 + "7", "1e" + "9" * 5000,
    "  7 ", "", " ", "+5", "0x10", "010", "5k", ".", "-", "+-5",
)  # fmt: skip
HOSTILE = ("0", "-1", "2147483648", "9223372036854775808", "123456789012345678901234", "1e400", "nan", "0x1p4000",
           "9" * 5000, "  7 ", "", "+5", "010", "5k")  # fmt: skip
"""Those with which programs are started."""
MAIL = b"From a@b Mon Jan  1 00:00:00 2024\nFrom: a@b\nMessage-ID: <1@x>\nSubject: s\n\nx\n"
LIMIT_S = 60
LIBC = ctypes.CDLL(None)
LIBC.strtod.restype = ctypes.c_double
LIBC.strtol.restype = ctypes.c_long
NUMBERS = st.one_of(
    st.sampled_from(VALUES).map(str.encode), st.text("0123456789+-.eExXpPinfaNT ()_\t", max_size=30).map(str.encode)
)


def with_end(name: str, text: bytes, *more: int) -> tuple[float, int]:
    """What strtod or strtol says of the text, and the offset after the number."""
    buffer = ctypes.create_string_buffer(text)
    end = ctypes.c_void_p()
    value = getattr(LIBC, name)(buffer, ctypes.byref(end), *more)
    return value, (end.value or 0) - ctypes.addressof(buffer)


@given(NUMBERS)
def test_reals_are_those_of_the_c_library(text: bytes) -> None:
    """Value, sign and end."""
    expected, end = with_end("strtod", text)
    value, own_end = numerals.real_at(text)
    assert own_end == end
    assert math.isnan(value) if math.isnan(expected) else (value, math.copysign(1, value)) == (
        expected, math.copysign(1, expected),
    )  # fmt: skip


@given(NUMBERS, st.sampled_from((8, 10)))
def test_integers_are_those_of_the_c_library(text: bytes, base: int) -> None:
    """Value and end, too large ones among them."""
    assert numerals.integer_at(text, base) == with_end("strtol", text, base)


def run(
    program: Path, *words: str, data: bytes = MAIL, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a program that has to end without a traceback."""
    done = subprocess.run(
        [program, *words], input=data, capture_output=True, timeout=LIMIT_S, check=False,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


def written(path: Path, text: str) -> str:
    """A file that only its owner may change."""
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


TEXTS = {b"MAILDIR", b"HOST", b"LOCKFILE", b"LOGFILE", b"LASTFOLDER", b"LOG", b"PYPROCMAIL_STRICT"}
TEXTS |= {b"DEFAULT", b"ORGMAIL", b"INCLUDERC", b"SWITCHRC"}
ASSIGNED = sorted({*EFFECTS, b"LOGABSTRACT"} - TEXTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name.decode() for name in ASSIGNED])
def test_every_variable_takes_every_number(launchers: Path, tmp_path: Path, name: str) -> None:
    """All values after each other, with a condition that starts a program; the last ones do not end the run."""
    for number, value in enumerate(HOSTILE):
        if name == "DELIVERED" and value not in ("0", "nan", ""):
            continue
        more = f'{name}="{value}@127.0.0.1"\n' if name == "COMSAT" else ""
        text = f'LOGFILE={tmp_path}/log\n{name}="{value}"\n{more}LOG="x\n"\n:0 w\n* ? true\n{tmp_path}/{number}\n'
        done = run(launchers / "procmail", "-m", written(tmp_path / "rc", text))
        assert done.returncode == 0 or name == "EXITCODE", (name, value[:30], done.stderr)
        # UMASK may have taken it from its owner.
        (tmp_path / str(number)).chmod(0o600)
        assert (tmp_path / str(number)).read_bytes().count(b"From a@b") == 1, (name, value[:30])


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    [
        ":{}\n* ^From\n", ":{}:\n* ^From\n", ":0\n* {}^1 ^From\n", ":0\n* 1^{} .\n", ":0\n* {}^{} ! ^nothing\n",
        ":0\n* > {}\n", ":0\n* ! < {}\n", ":0\n* {}^{} > {}\n", ":0\n* {}^{} < {}\n", ":0\n* 1^{} ! ? false\n",
        ":0\n* {}^{} ? true\n", "A={}\n:0\n* $ $A^$A $\n", "A=${{{}}}\n:0\n",
    ],
)  # fmt: skip
def test_every_number_of_a_recipe(launchers: Path, tmp_path: Path, recipe: str) -> None:
    """Delivered to the recipe's folder or to DEFAULT, once, and the score can be written."""
    for value in HOSTILE:
        folder = tmp_path / "mbox"
        text = f"LINEBUF=99999\nDEFAULT={folder}\n{recipe.replace('{}', value)}{folder}\n:0\n* B ?? $=\n{folder}\n"
        done = run(launchers / "procmail", "-m", written(tmp_path / "rc", text))
        assert done.returncode == 0, (value[:30], done.stderr)
        assert folder.read_bytes().count(b"From a@b") == 1, value[:30]
        folder.unlink()


@pytest.mark.slow
def test_a_start_line_of_many_digits_is_the_reference_s(launchers: Path, reference: Path, tmp_path: Path) -> None:
    """C's int decides: what it makes negative is no number."""
    for value in ("2147483648", "4294967295", "4294967296", "9223372036854775807", "1" * 24):
        outcomes = []
        for folder in (launchers, reference):
            for name in ("one", "two"):
                (tmp_path / name).unlink(missing_ok=True)
            text = f":{value}\n{tmp_path}/one\n{tmp_path}/two\n"
            data = b"From a@b\nX: %b/one\n\n\n" % str(tmp_path).encode()
            status = run(folder / "procmail", "-m", written(tmp_path / "rc", text), data=data).returncode
            outcomes.append((status, (tmp_path / "one").exists(), (tmp_path / "two").exists()))
        assert outcomes[0] == outcomes[1], value


def test_rotation_is_bounded_whatever_is_to_be_kept(launchers: Path, tmp_path: Path) -> None:
    """LOGFILE_KEEP is clipped, and the log says so."""
    log = tmp_path / "log"
    text = (
        f'LOGFILE={log}\nLOGFILE_KEEP=2000000000\nLOGFILE_MAXSIZE=10\nLOG="aaaaaaaaaaaa"\nLOG="bbb"\n:0\n{tmp_path}/m\n'
    )
    assert run(launchers / "procmail", "-m", written(tmp_path / "rc", text)).returncode == 0
    logged = b"".join(path.read_bytes() for path in tmp_path.glob("log*"))
    assert b'"LOGFILE_KEEP=2000000000" is out of range, taken for 999' in logged


@pytest.mark.slow
def test_filter_files_count_with_every_number(launchers: Path, tmp_path: Path) -> None:
    """Every operator with every pair; functions and special variables."""
    operators = ("+", "-", "*", "/", "|", "&", "==", "!=", "<", "<=", ">", ">=", "lt", "=~")
    pairs = list(itertools.product(VALUES[:20], VALUES[:8]))
    lines = [f'A="{a}" {op} "{b}"' for a, b in pairs for op in operators[:-1]]
    lines += [f'A=substr("abc","{a}")\nA=substr("abc","{a}","{b}")\nA=(~"{a}")\nA=!"{b}"' for a, b in pairs]
    names = ("VERBOSE", "UMASK", "TIMEOUT", "LOCKTIMEOUT", "LOCKSLEEP", "LOCKREFRESH", "RETURNCODE", "EXITCODE")
    lines += [f'{name}="{value}"\nif (/From/:b,{value},{value})\n{{\n}}' for value in VALUES for name in names]
    lines += ['VERBOSE="0"', 'EXITCODE="0"', f'to "{tmp_path}/m"']
    done = run(launchers / "maildrop", written(tmp_path / "filter", "\n".join(lines) + "\n"))
    assert done.returncode in (0, 75), done.stderr
    for value in HOSTILE:
        text = f'TIMEOUT="{value}"\nMAILDIRQUOTA="{value}S,{value}C"\nLOCKTIMEOUT="{value}"\nxfilter "cat"\n'
        done = run(launchers / "maildrop", written(tmp_path / "f", f'{text}to "{tmp_path}/m"\n'))
        assert done.returncode == 0, (value[:30], done.stderr)
        run(launchers / "maildrop", "-V", value, "-w", value, written(tmp_path / "f", f'to "{tmp_path}/m"\n'))


@pytest.mark.parametrize(
    ("text", "status"),
    [(b"+5", 0), (b" 7", 7), (b"4294967297", 1), (b"18446744073709551617", 1), (b"9" * 5000, -1), (b"-3x", -3)],
)
def test_verbose_and_exitcode_of_filter_files(text: bytes, status: int) -> None:
    """They are read in 32 bits, and without a plus sign, as maildrop does."""
    assert arithmetic.setting(text) == status


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "formail -m{} -s true", "formail -p{} -s true", "formail +{} -s true", "formail -{} -s true",
        "formail -D{} T/cache", "formail -n{} -s true", "lockfile -r{} T/lock", "lockfile -l{} T/lock",
        "lockfile -s{} T/lock", "lockfile -{} T/lock", "lockmail -t{} T/mbox true", "reformail -D{} T/cache",
        "mailbot -d T/db -D{} -t T/text cat", "procmail -j{} --mbox -m T/rc", "mailstat -m T/log", "mailstat -{} T/log",
        "reformime -s{}", "maildrop -w{} T/filter", "reformail -s true", "formail -s true", "formail -rkt",
    ],
)  # fmt: skip
def test_every_option_takes_every_number(launchers: Path, tmp_path: Path, words: str) -> None:
    """And FILENO of the environment, and Content-Length of the mail."""
    written(tmp_path / "rc", f":0\n{tmp_path}/m\n")
    written(tmp_path / "filter", f'to "{tmp_path}/m"\n')
    written(tmp_path / "text", "away\n")
    for value in HOSTILE:
        written(tmp_path / "log", f"From a\n  Folder: x\t\t{value}\n  Folder: y {value}\t\t{value}\n")
        program, *rest = words.replace("T/", f"{tmp_path}/").split()
        length = f"Content-Length: {value}\nLines: {value}\nSubject".encode()
        data = MAIL.replace(b"Subject", length) + b"\nFrom b@c\n\ny\n"
        arguments = [word.replace("{}", value) for word in rest]
        run(launchers / program, *arguments, data=data, environment={"FILENO": value})
        (tmp_path / "lock").unlink(missing_ok=True)


@pytest.mark.slow
def test_numbers_of_files_beside_a_mail(launchers: Path, tmp_path: Path) -> None:
    """maildirsize, S= in names, MH folders."""
    folder = tmp_path / "Maildir"
    for part in ("new", "cur", "tmp"):
        (folder / part).mkdir(parents=True)
    for number, value in enumerate(HOSTILE):
        (folder / "new" / f"1.{number},S={value[:200]}:2,").write_bytes(b"x")
        (folder / "maildirsize").write_text(f"1000000S\n{value} {value}\n")
        text = f'MAILDIRQUOTA="1000000S"\nto "{folder}"\n'
        assert run(launchers / "maildrop", written(tmp_path / "f", text)).returncode in (0, 77, 75), value[:30]
        (folder / "new" / f"1.{number},S={value[:200]}:2,").unlink()
    mh = tmp_path / "mh"
    mh.mkdir()
    for name in ("9" * 255, "9" * 20, "12", "0x10"):
        (mh / name).touch()
    assert run(launchers / "procmail", "-m", written(tmp_path / "rc", f":0\n{mh}/.\n")).returncode == 0
    assert (mh / "13").exists()
