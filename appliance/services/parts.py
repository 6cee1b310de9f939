"""The parts of a file that is uploaded in parts: how large each is, and the object made of them."""

from __future__ import annotations

from contextlib import suppress

from appliance.errors import NotUploaded, ObjectMissing, SizeMismatch
from appliance.services.box import Box
from appliance.storage.parts import LEAST_PART_BYTES, MAX_PARTS, PartInfo


def complete(box: Box, key: str, multipart_id: str, size_bytes: int) -> None:
    """Make the object of an upload in parts if it is still open. Does nothing if it has ended.

    Raises NotUploaded if parts are missing, SizeMismatch if one has another size.
    """
    try:
        arrived = box.objects.parts.arrived(key, multipart_id)
        if not arrived and _is_stored(box, key):
            return  # SeaweedFS lists an upload that has ended, without parts
        _check_parts(size_bytes, arrived)
        box.objects.parts.complete(key, multipart_id, arrived)
    except ObjectMissing:
        return  # it has ended: what follows finds its object, or none


def part_sizes(size_bytes: int) -> dict[int, int]:
    """Return the size of every part of a file, by number from 1."""
    part = max(LEAST_PART_BYTES, -(-size_bytes // MAX_PARTS))
    count = -(-size_bytes // part)
    return {number: min(part, size_bytes - (number - 1) * part) for number in range(1, count + 1)}


def _is_stored(box: Box, key: str) -> bool:
    with suppress(ObjectMissing):
        box.objects.stat(key)
        return True
    return False


def _check_parts(size_bytes: int, arrived: list[PartInfo]) -> None:
    sizes = part_sizes(size_bytes)
    by_number = {part.number: part.size_bytes for part in arrived}
    for number, part_bytes in by_number.items():
        if sizes.get(number) != part_bytes:
            expected = f"{sizes[number]} were declared" if number in sizes else f"the file has {len(sizes)} parts"
            raise SizeMismatch(f"Part {number} has {part_bytes} bytes, but {expected}. Upload the part again.")
    missing = [number for number in sizes if number not in by_number]
    if missing:
        first = ", ".join(map(str, missing[:10])) + (", …" if len(missing) > 10 else "")
        raise NotUploaded(f"{len(missing)} of {len(sizes)} parts have not arrived: {first}.")
