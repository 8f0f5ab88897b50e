"""A Parquet file -> its rows, in plain Python.

Takes the path of a file; gives a list of dicts, a key for each leaf column (`w.start` for a field of a struct,
`windows.start` for one of a list of structs, whose values are lists); a time is an int in microseconds, a decimal a
`Decimal`. Reads what strandline writes: data pages
v1, PLAIN and dictionary values, levels in the RLE/bit-packed hybrid, SNAPPY or nothing. Anything else raises
`Unsupported`; a damaged file raises `ValueError`. Where pyarrow can be imported every file is read by both, and a
difference is a `ValueError`, too: so a reader that is wrong cannot judge anybody.
"""

import struct
from datetime import datetime, timedelta, timezone
from decimal import Decimal

try:
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet
except ImportError:
    pyarrow = None

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
BOOLEAN, INT32, INT64, DOUBLE, BYTES, FIXED = 0, 1, 2, 5, 6, 7


class Unsupported(Exception):
    """A form of Parquet that this reader does not know."""


class Thrift:
    """A struct of Thrift's compact protocol as a dict from field number to value."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def varint(self):
        shift = value = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def integer(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def struct(self):
        fields, field = {}, 0
        while self.data[self.at]:
            head = self.data[self.at]
            self.at += 1
            field = field + (head >> 4) if head >> 4 else self.integer()
            fields[field] = self.value(head & 15)
        self.at += 1
        return fields

    def value(self, kind):
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            self.at += 1
            return self.data[self.at - 1]
        if kind in (4, 5, 6):
            return self.integer()
        if kind == 7:
            self.at += 8
            return struct.unpack_from("<d", self.data, self.at - 8)[0]
        if kind == 8:
            length = self.varint()
            self.at += length
            return self.data[self.at - length:self.at]
        if kind == 9:
            head = self.data[self.at]
            self.at += 1
            count = head >> 4 if head >> 4 < 15 else self.varint()
            return [self.value(head & 15) for _ in range(count)]
        if kind == 12:
            return self.struct()
        raise Unsupported(f"thrift type {kind}")


def snappy(data):
    """The content of one raw Snappy block."""
    stream = Thrift(data)
    length, at, out = stream.varint(), stream.at, bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            size = tag >> 2
            if size >= 60:
                wide = size - 59
                size = int.from_bytes(data[at:at + wide], "little")
                at += wide
            out += data[at:at + size + 1]
            at += size + 1
            continue
        if tag & 3 == 1:
            size, back, wide = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | data[at], 1
        else:
            wide = 2 if tag & 3 == 2 else 4
            size, back = (tag >> 2) + 1, int.from_bytes(data[at:at + wide], "little")
        at += wide
        if not 0 < back <= len(out):
            raise ValueError("snappy: a copy from before the start")
        for _ in range(size):
            out.append(out[-back])
    if len(out) != length:
        raise ValueError(f"snappy: {len(out)} bytes of {length}")
    return bytes(out)


def hybrid(data, width, count):
    """So many values of the RLE/bit-packed hybrid."""
    stream, values = Thrift(data), []
    while len(values) < count:
        head = stream.varint()
        if head & 1:
            groups = head >> 1
            packed = int.from_bytes(data[stream.at:stream.at + groups * width], "little")
            stream.at += groups * width
            mask = (1 << width) - 1
            values += [packed >> width * i & mask for i in range(groups * 8)]
        else:
            wide = (width + 7) // 8
            values += [int.from_bytes(data[stream.at:stream.at + wide], "little")] * (head >> 1)
            stream.at += wide
    return values[:count]


def plain(data, kind, count, size):
    if kind == BOOLEAN:
        return [bool(data[i // 8] >> i % 8 & 1) for i in range(count)]
    form = {INT32: "i", INT64: "q", DOUBLE: "d", 4: "f"}.get(kind)
    if form:
        return list(struct.unpack_from(f"<{count}{form}", data))
    values, at = [], 0
    for _ in range(count):
        if kind == BYTES:
            size = struct.unpack_from("<I", data, at)[0]
            at += 4
        elif kind != FIXED:
            raise Unsupported(f"physical type {kind}")
        if at + size > len(data):
            raise ValueError("a value ends behind its page")
        values.append(data[at:at + size])
        at += size
    return values


class Leaf:
    """A column that holds values: its path, the highest levels, the definition level of a list that is empty, and
    what its values mean."""

    def __init__(self, path, level, repeats, empty, element):
        self.path, self.level, self.repeats, self.empty = path, level, repeats, empty
        self.kind, self.size = element.get(1), element.get(2, 0)
        logical = element.get(10) or {}
        self.is_text = element.get(6) == 0 or 1 in logical
        self.scale = element.get(7, 0) if element.get(6) == 5 or 5 in logical else None

    def meaning(self, value):
        if self.scale is not None:
            number = value if isinstance(value, int) else int.from_bytes(value, "big", signed=True)
            return Decimal(number).scaleb(-self.scale)
        return value.decode("utf-8") if self.is_text else value


def leaves(elements):
    """The columns of a schema, which is a tree in one list. The two inner levels of a list have no name here."""
    found, at = [], 0

    def walk(path, level, repeats, empty):
        nonlocal at
        element = elements[at]
        at += 1
        name = element[4].decode()
        is_list = element.get(3, 0) == 2
        if path is None:
            here = ()
        else:
            level += element.get(3, 0) != 0
            here = path if is_list or (repeats and name == "element") else (*path, name)
        repeats, empty = repeats + is_list, level - 1 if is_list else empty
        for _ in range(element.get(5, 0)):
            walk(here, level, repeats, empty)
        if not element.get(5):
            found.append(Leaf(".".join(here), level, repeats, empty, element))

    walk(None, 0, 0, None)
    return found


def column(data, about, leaf):
    """The values of one column chunk."""
    if about[4] not in (0, 1):
        raise Unsupported(f"codec {about[4]}")
    unpack = snappy if about[4] == 1 else bytes
    at, dictionary, values, seen = about.get(11) or about[9], None, [], 0
    while seen < about[5]:
        stream = Thrift(data, at)
        header = stream.struct()
        at = stream.at + header[3]
        if at > len(data):
            raise ValueError("a page ends behind the file")
        page = unpack(data[stream.at:at])
        if len(page) != header[2]:
            raise ValueError("a page has not the length that its header says")
        if header[1] == 2:
            dictionary = plain(page, leaf.kind, header[7][1], leaf.size)
            continue
        if header[1] != 0:
            raise Unsupported(f"page type {header[1]}")
        values += page_values(page, header[5], leaf, dictionary)
        seen += header[5][1]
    return values


def page_values(page, header, leaf, dictionary):
    count, encoding = header[1], header[2]
    if leaf.repeats > 1:
        raise Unsupported("lists of lists")
    repeats, page = levels_of(page, leaf.repeats, count)
    levels, page = levels_of(page, leaf.level, count)
    present = sum(level == leaf.level for level in levels)
    if encoding == 0:
        values = plain(page, leaf.kind, present, leaf.size)
    elif encoding in (2, 8):
        width = page[0] if page else 0
        picks = hybrid(page[1:], width, present) if width else [0] * present
        values = [dictionary[pick] for pick in picks]
    else:
        raise Unsupported(f"encoding {encoding}")
    rest = iter(values)
    values = [leaf.meaning(next(rest)) if level == leaf.level else None for level in levels]
    return in_lists(values, repeats, levels, leaf.empty) if leaf.repeats else values


def levels_of(page, highest, count):
    """The levels at the head of a page, and what follows them."""
    if not highest:
        return [0] * count, page
    length = struct.unpack_from("<I", page)[0]
    return hybrid(page[4:4 + length], highest.bit_length(), count), page[4 + length:]


def in_lists(values, repeats, levels, empty):
    """One list a row: None below the level of an empty one."""
    rows = []
    for value, repeat, level in zip(values, repeats, levels):
        if repeat == 0:
            rows.append(None if level < empty else [])
        if level > empty:
            rows[-1].append(value)
    return rows


def own(data):
    """The rows of a file by this reader alone."""
    if len(data) < 12 or data[:4] != b"PAR1" or data[-4:] != b"PAR1":
        raise ValueError("not a whole Parquet file")
    length = struct.unpack("<I", data[-8:-4])[0]
    footer = Thrift(data[-8 - length:-8]).struct()
    schema, rows = leaves(footer[2]), []
    for group in footer.get(4, []):
        columns = [(leaf.path, column(data, chunk[3], leaf)) for leaf, chunk in zip(schema, group[1])]
        if any(len(values) != group[3] for _, values in columns):
            raise ValueError("a column has not as many values as there are rows")
        rows += [{path: values[i] for path, values in columns} for i in range(group[3])]
    if len(rows) != footer[3]:
        raise ValueError(f"{len(rows)} rows of {footer[3]}")
    return rows


def in_micros(value):
    """A time as an int."""
    return (value - EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value


def by_pyarrow(path):
    """The same by pyarrow."""
    table = pyarrow.parquet.ParquetFile(path).read()
    columns = {}

    def add(name, array):
        kind = str(array.type)
        if kind.startswith("struct"):
            for field in array.type:
                add(f"{name}.{field.name}", pyarrow.compute.struct_field(array, field.name))
        elif kind.startswith("list<element: struct"):
            for field in array.type.value_type:
                inner = [row and [in_micros(item[field.name]) for item in row] for row in array.to_pylist()]
                columns[f"{name}.{field.name}"] = inner
        elif kind.startswith("timestamp"):
            columns[name] = array.cast(pyarrow.timestamp("us", array.type.tz)).cast("int64").to_pylist()
        else:
            columns[name] = array.to_pylist()

    for name, array in zip(table.column_names, table.columns):
        add(name, array)
    return [{name: values[i] for name, values in columns.items()} for i in range(table.num_rows)]


def read(path):
    """The rows of a file; both readers must agree where both can read it."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        rows = own(data)
    except Unsupported:
        if pyarrow is None:
            raise
        return by_pyarrow(path)
    except (IndexError, KeyError, TypeError, struct.error) as error:
        raise ValueError(f"{path} is damaged: {error!r}") from error
    if pyarrow is not None:
        other = by_pyarrow(path)
        if rows != other:
            raise ValueError(f"{path}: the harness's reader and pyarrow disagree")
    return rows
