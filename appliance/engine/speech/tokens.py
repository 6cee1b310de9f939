"""The text of a speech model's tokens: parts of UTF-8 in which U+2581 stands for a space, as in SentencePiece.

SentencePiece: Kudo and Richardson 2018, arXiv:1808.06226.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from appliance.errors import InvalidManifest

SPACE = "\u2581".encode()
NUM_CONTROL_TOKENS = 3  # unknown, start, end


@dataclass(frozen=True)
class SpokenWord:
    """A word with its punctuation. ``confidence``: the geometric mean of its tokens' probabilities, 0 to 1."""

    text: str
    confidence: float


class Vocabulary:
    """The bytes of every token."""

    def __init__(self, content: bytes) -> None:
        """Parse ``content``: for each token its length, then its bytes.

        A length is one byte, or from 128 on two bytes with the low seven bits first. Raises InvalidManifest if the
        content ends within a token.
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

    def __len__(self) -> int:
        return len(self._tokens)

    def words(self, tokens: Sequence[int], probabilities: Sequence[float]) -> list[SpokenWord]:
        """Return the words of ``tokens``. A token that begins with a space begins a new word."""
        return [
            SpokenWord(text, float(product ** (1.0 / count)))
            for content, product, count in self._group(tokens, probabilities)
            if (text := content.decode("utf-8", errors="replace").strip())
        ]

    def _group(self, tokens: Sequence[int], probabilities: Sequence[float]) -> Iterator[tuple[bytes, float, int]]:
        """Yield for each word its bytes, the product of its tokens' probabilities, and the number of tokens."""
        word, product, count = b"", 1.0, 0
        for token, probability in zip(tokens, probabilities, strict=True):
            content = self._bytes_of(token)
            if content.startswith(b" ") and count:
                yield word, product, count
                word, product, count = b"", 1.0, 0
            if content:
                word, product, count = word + content, product * probability, count + 1
        if count:
            yield word, product, count

    def _bytes_of(self, token: int) -> bytes:
        """Return the bytes of a token, none for a control token."""
        content = self._tokens[token]
        if token < NUM_CONTROL_TOKENS or (content.startswith(b"<<ST_") and content.endswith(b">>")):
            return b""
        return content.replace(SPACE, b" ")
