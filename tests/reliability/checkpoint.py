"""`checkpoints/<query>` -> the recorded batches, and what its numbers must be beside those of the table.

Takes a project's folder and the name of a query; gives a `Checkpoint`: the query's id, `offsets` and `commits` by batch,
and the batches of long ago out of `sources/<i>/history`. Each file is a line that seals it (magic, format, kind, length,
CRC-32C) and then JSON; a file that is not whole is kept in `torn`. `invariants` shows I1 to I5 of the failure model.
"""

import json
import os
from collections import Counter

CRC = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    CRC.append(byte)


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = CRC[(value ^ byte) & 255] ^ value >> 8
    return value ^ 0xFFFFFFFF


def unseal(kind, data):
    """One sealed body at the head of the data, and what follows it; ValueError: it is not whole."""
    head, newline, rest = data.partition(b"\n")
    words = head.split(b" ")
    if not newline or len(words) != 5 or words[0] != b"strandline" or words[2] != kind.encode():
        raise ValueError("no seal")
    length = int(words[3])
    body = rest[:length]
    if len(body) != length or b"%08x" % crc32c(body) != words[4]:
        raise ValueError("cut short or changed")
    return json.loads(body), rest[length:]


def seal(kind, value):
    """The bytes of a sealed file, for tests that lie."""
    body = json.dumps(value, separators=(",", ":")).encode() + b"\n"
    return b"strandline 1 %s %d %08x\n" % (kind.encode(), len(body), crc32c(body)) + body


class Checkpoint:
    """What one query has decided."""

    def __init__(self, project, query):
        self.folder, self.query = os.path.join(project, "checkpoints", query), query
        self.torn = []
        self.metadata = self.sealed("metadata.json", "metadata")
        self.id = self.metadata["id"] if self.metadata else None
        self.offsets = self.numbered("offsets")
        self.commits = self.numbered("commits")

    def sealed(self, name, kind):
        path = os.path.join(self.folder, name)
        try:
            with open(path, "rb") as file:
                value, rest = unseal(kind, file.read())
            if rest:
                raise ValueError("something follows it")
            return value
        except FileNotFoundError:
            return None
        except ValueError as error:
            self.torn.append(f"{self.query}/{name}: {error}")
            return None

    def numbered(self, kind):
        folder = os.path.join(self.folder, kind)
        names = os.listdir(folder) if os.path.isdir(folder) else []
        found = {int(name): self.sealed(f"{kind}/{name}", kind) for name in names if name.isdigit()}
        return {number: found[number] for number in sorted(found) if found[number] is not None}

    def history(self, source):
        """(takes by batch, watermark by batch, the first batch that is not in it)."""
        path = os.path.join(self.folder, "sources", str(source), "history")
        takes, marks, after = {}, {}, 0
        data = b""
        if os.path.exists(path):
            with open(path, "rb") as file:
                data = file.read()
        while data:
            try:
                record, data = unseal("takes", data)
            except ValueError:
                break
            takes.update((number, take) for number, take in record["takes"] if number >= after)
            for at, (_, mark) in enumerate(record["times"]):
                marks.setdefault(record["firstBatch"] + at, mark)
            after = max(after, record["lastBatch"] + 1)
        return takes, marks, after

    def batches(self):
        """(number, watermark in ms or None, what is taken from each source), from batch 0 on."""
        newest = max(self.offsets, default=-1)
        histories = [self.history(i) for i in range(len(self.offsets[newest]["sources"]))] if self.offsets else []
        for number in range(newest + 1):
            if number in self.offsets:
                decided = self.offsets[number]
                yield number, decided.get("batchWatermarkMs"), decided["sources"]
            elif all(number < after for _, _, after in histories):
                yield number, histories[0][1].get(number), [takes.get(number) for takes, _, _ in histories]
            else:
                raise ValueError(f"{self.query}: batch {number} is neither in offsets/ nor in the history")


def invariants(checkpoint, table, promised=-1):
    """What of I1 to I5 does not hold, as text. `promised`: the newest batch that a run has reported."""
    wrong, query = [], checkpoint.query
    o, c = max(checkpoint.offsets, default=-1), max(checkpoint.commits, default=-1)
    t = table.transaction(checkpoint.id) if table else -1
    wrong += [f"not whole: {torn}" for torn in checkpoint.torn]
    if t < c:
        wrong.append(f"{query}: I1: batch {c} is committed, the table has {t}")
    if t > o:
        wrong.append(f"{query}: I2: the table has batch {t}, the newest decision is {o}")
    if t - c not in (0, 1) or o - c not in (0, 1):
        wrong.append(f"{query}: I3: decided {o}, in the table {t}, committed {c}")
    if table and table.transactions(checkpoint.id) != list(range(t + 1)):
        wrong.append(f"{query}: I4: transactions {table.transactions(checkpoint.id)}")
    if c < promised:
        wrong.append(f"{query}: batch {promised} was reported, {c} is committed")
    try:
        batches = list(checkpoint.batches())
    except ValueError as error:
        return [*wrong, f"I5: {error}"]
    taken = Counter(
        (source, file["path"])
        for _, _, takes in batches
        for source, take in enumerate(takes)
        for file in (take or {}).get("files", [])
    )
    wrong += [f"{query}: I5: {path} is in {count} batches" for (_, path), count in taken.items() if count > 1]
    return wrong
