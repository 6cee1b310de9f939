"""Text of clients, as SQLite can store it and show it again, and numbers in text for people."""

from __future__ import annotations


def check_text(text: str) -> None:
    """Check that every character can be stored. Raises ValueError with what is wrong.

    SQLite has no way to store a lone surrogate, and ends the length of a text at the first NUL.
    """
    if "\0" in text:
        raise ValueError("contains NUL, which is not allowed")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("contains a lone surrogate, which is not a character") from error


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in the right form, such as ``1 file`` or ``1,200 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
