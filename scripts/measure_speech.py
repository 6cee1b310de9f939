"""Measures the word error rate and the speed of a transcription model.

    python scripts/measure_speech.py TEXTS FOLDER [MODEL]

TEXTS has a line ``name: text`` for each recording FOLDER/name.wav. Debian has such a file: core-sounds-en.txt of the
package asterisk-core-sounds-en, for the recordings of asterisk-core-sounds-en-wav. Texts of fewer than six words and
texts with a remark in brackets are skipped.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from appliance.config import Settings
from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.models.store import ModelStore, check_checksum
from appliance.engine.speech.transcriber import Transcriber, transcribe

MIN_WORDS = 6
ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SAME = {"*": " star ", "#": " pound ", "voicemail": "voice mail", "touchtone": "touch tone", "thru": "through"}


def spoken_number(number: int) -> str:
    """Return a number as it is read aloud: in full below 100 and for whole hundreds, else digit by digit."""
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10 - 2] + (f" {ONES[number % 10]}" if number % 10 else "")
    if number < 1000 and number % 100 == 0:
        return f"{ONES[number // 100]} hundred"
    return " ".join(ONES[int(digit)] for digit in str(number))


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation, and with numbers written out."""
    text = text.lower().replace("’", "'")
    for written, read in SAME.items():
        text = text.replace(written, read)
    text = re.sub(r"\d+", lambda match: f" {spoken_number(int(match[0]))} ", text)
    return re.sub(r"[^a-z ]", " ", text.replace("'", "")).split()


def num_errors(truth: list[str], transcript: list[str]) -> int:
    """Return the edit distance in words (Levenshtein): insertions, deletions and substitutions."""
    row = np.arange(len(transcript) + 1)
    for i, word in enumerate(truth, 1):
        before, row[0] = row.copy(), i
        for j, other in enumerate(transcript, 1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (word != other))
    return int(row[-1])


def prompts(texts: Path, folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield each recording and its words."""
    for line in texts.read_text(encoding="utf-8", errors="replace").splitlines():
        name, colon, text = line.partition(":")
        path = folder / f"{name.strip().removesuffix('.wav')}.wav"
        if not colon or line.startswith(";") or any(mark in text for mark in ("[", "(", "...")):
            continue
        if path.is_file() and len(words_of(text)) >= MIN_WORDS:
            yield path, words_of(text)


def main(texts: Path, folder: Path, model_id: str = "moonshine-tiny-en") -> None:
    """Print the error rate, and the seconds of audio transcribed per second of CPU time and of wall time."""
    model = ModelStore(Settings().model_store).resolve(model_id)
    check_checksum(model)
    transcriber = Transcriber(model)
    errors = num_words = num_files = duration_ms = 0
    wall, cpu = time.monotonic(), time.process_time()
    with Decoder(DecodeLimits()) as decoder:
        for path, truth in prompts(texts, folder):
            with path.open("rb") as file:
                transcript = transcribe(file, decoder, transcriber)
            errors += num_errors(truth, words_of(transcript.text))
            num_words, num_files = num_words + len(truth), num_files + 1
            duration_ms += transcript.duration_ms
    wall, cpu, seconds = time.monotonic() - wall, time.process_time() - cpu, duration_ms / 1000
    print(f"{num_files} recordings, {seconds:.0f} s, {num_words} words")
    print(f"word error rate {100 * errors / num_words:.1f} %")
    print(f"{seconds / cpu:.0f} s of audio per CPU second (without decoding), {seconds / wall:.0f} s per second")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
