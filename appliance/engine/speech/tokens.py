"""The text of a speech model's tokens: pieces of UTF-8, where U+2581 stands for a space, as SentencePiece writes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import InvalidManifest

SPACE = "\u2581".encode()
NUM_CONTROL_TOKENS = 3  # unknown, start, end


@dataclass(frozen=True)
class SpokenWord:
    """A word with its punctuation. ``confidence`` : geometric mean of its tokens' probabilities, 0 to 1."""

    text: str
    confidence: float


class Vocabulary:
    """The bytes of every token."""

    def __init__(self, content: bytes) -> None:
        """``content``: each token after its length, one byte, or two (low seven bits first) from 128 on.

        Raises InvalidManifest where it ends within a token.
        """
        self._tokens: list[bytes] = []
        position = 0
        while position < len(content):
            size = content[position]
            position += 1
            if size >= 128:
                high = content[position] if position < len(content) else 0
                size, position = (size & 127) + 128 * high, position + 1
            if position + size > len(content):
                raise InvalidManifest("files.tokens: the file ends within a token.")
            self._tokens.append(content[position : position + size])
            position += size

    @classmethod
    def read(cls, path: Path) -> Vocabulary:
        """The vocabulary of a file. Raises InvalidManifest."""
        return cls(path.read_bytes())

    def __len__(self) -> int:
        return len(self._tokens)

    def words(self, tokens: Sequence[int], probabilities: Sequence[float]) -> list[SpokenWord]:
        """The words that tokens spell; a word begins where a token begins with a space."""
        return [
            SpokenWord(text, float(product ** (1.0 / count)))
            for spelt, product, count in self._spelt(tokens, probabilities)
            if (text := spelt.decode("utf-8", errors="replace").strip())
        ]

    def _spelt(self, tokens: Sequence[int], probabilities: Sequence[float]) -> Iterator[tuple[bytes, float, int]]:
        """For each word its bytes, the product of its probabilities and their number."""
        spelt, product, count = b"", 1.0, 0
        for token, probability in zip(tokens, probabilities, strict=True):
            piece = self._piece(token)
            if piece.startswith(b" ") and count:
                yield spelt, product, count
                spelt, product, count = b"", 1.0, 0
            if piece:
                spelt, product, count = spelt + piece, product * probability, count + 1
        if count:
            yield spelt, product, count

    def _piece(self, token: int) -> bytes:
        """Empty for a control token."""
        piece = self._tokens[token]
        if token < NUM_CONTROL_TOKENS or (piece.startswith(b"<<ST_") and piece.endswith(b">>")):
            return b""
        return piece.replace(SPACE, b" ")
