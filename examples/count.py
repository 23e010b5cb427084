"""How many messages each mail folder under a directory holds: `count.py DIRECTORY`."""

import sys
from pathlib import Path


def messages(folder: Path) -> tuple[str, int]:
    """The kind of a folder, and how many messages are in it."""
    if (folder / "new").is_dir():
        return "Maildir", sum(1 for part in ("new", "cur") for _ in (folder / part).iterdir())
    if folder.is_dir():
        return "MH", sum(1 for entry in folder.iterdir() if entry.name.isdigit())
    return "mbox", ("\n\n" + folder.read_text("latin-1")).count("\n\nFrom ")


def main() -> None:
    """Print a line a folder, and the total."""
    total = 0
    for folder in sorted(Path(sys.argv[1]).iterdir()):
        if folder.name != "log":
            kind, number = messages(folder)
            total += number
            print(f"{number:6}  {kind:8}{folder.name}")
    print(f"{total:6}  in all")


if __name__ == "__main__":
    main()
