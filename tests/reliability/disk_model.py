"""What may be on the disk after a power cut, from the calls that a run has made.

Takes a log of strace (`-f -y -xx`) and the folder as it was before; gives `Disk`, which is stepped from call to call and
can be written down at any of them, as one of the states that a filesystem may leave. A file knows its writes, a folder
its changes of names; each knows how many of them an fsync has made permanent. What comes after those may be there or not,
and of the last write a part. A name is permanent when its folder is synced, content when the file is: no more is assumed
than POSIX promises.
"""

import os
import re

CALL = re.compile(r"(\d+) +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
OPENED = re.compile(r"= (\d+)<((?:\\x[0-9a-f]{2})*)>\s*$")
DESCRIPTOR = re.compile(r"(\d+)<((?:\\x[0-9a-f]{2})*)>")
RESULT = re.compile(r"= (-?\d+)")
TRACED = ("openat,write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,"
          "ftruncate,copy_file_range")


def octets(text):
    return bytes.fromhex(text.replace("\\x", ""))


def calls(path):
    """(moment, process, name, text): `begin` for a call that is not over yet, `end` for one that is."""
    unfinished = {}
    with open(path, encoding="latin-1") as log:
        for line in log:
            match = CALL.match(line)
            if not match:
                continue
            process, name, rest, resumed, end = match.groups()
            if name and rest.rstrip().endswith("<unfinished ...>"):
                unfinished[process] = rest.rstrip().removesuffix("<unfinished ...>")
                yield "begin", process, name, unfinished[process]
            elif name:
                yield "begin", process, name, rest
                yield "end", process, name, rest
            elif process in unfinished:
                yield "end", process, resumed, unfinished.pop(process) + end


class Node:
    """A file or a folder: what it was at first, what has been done to it since, and how much of that is permanent."""

    def __init__(self, first):
        self.first, self.changes, self.permanent = first, [], 0
        self.link = None
        """The file of the base that this one is, as long as nothing was written to it."""

    def is_folder(self):
        return isinstance(self.first, dict)

    def with_changes(self, chosen):
        """The content with the permanent changes and those of the others that `chosen(index)` picks."""
        picked = [c for i, c in enumerate(self.changes) if i < self.permanent or chosen(i)]
        if self.is_folder():
            names = dict(self.first)
            for change in picked:
                names.update(change)
            return {name: node for name, node in names.items() if node is not None}
        content = bytearray(self.first)
        for at, data in picked:
            if data is None:
                content[at:] = b"\0" * 0
                content.extend(b"\0" * (at - len(content)))
                continue
            content.extend(b"\0" * (at - len(content)))
            content[at:at + len(data)] = data
        return bytes(content)

    def now(self):
        return self.with_changes(lambda _: True)


class Disk:
    """The project folder, call by call: `base` as the calls name it, `before` a copy of what was in it at first. `honest`
    False: no fsync does anything."""

    def __init__(self, base, before, honest=True):
        self.base, self.honest = os.path.realpath(base), honest
        self.root = self.load(before)
        self.handles, self.syncs, self.last_write = {}, {}, None
        self.out = b""
        """What was written to stdout."""

    def load(self, path):
        node = Node({})
        for entry in os.scandir(path):
            if entry.is_dir():
                node.first[entry.name] = self.load(entry.path)
            else:
                with open(entry.path, "rb") as file:
                    child = Node(file.read())
                child.link = entry.path
                node.first[entry.name] = child
        return node

    def find(self, path):
        """The folder of a path, the last name, and the node, if they are below the base."""
        path = os.path.normpath(os.path.join(self.base, os.fsdecode(path)))
        if path == self.base:
            return None, "", self.root
        if not path.startswith(self.base + os.sep):
            return None, None, None
        folder, *names = None, *path[len(self.base) + 1:].split(os.sep)
        node = self.root
        for name in names:
            folder, node = node, (node.now().get(name) if node is not None and node.is_folder() else None)
        return folder, names[-1], node

    def step(self, moment, process, name, text):
        """Takes one event; gives whether something on the disk may have changed."""
        if name in ("fsync", "fdatasync"):
            return self.sync(moment, process, text)
        result = RESULT.findall(text)
        if moment == "begin" or not result or int(result[-1]) < 0:
            return False
        return getattr(self, "on_" + name.replace("2", "").removesuffix("at").replace("64", ""))(text)

    def paths(self, text):
        return [octets(found) for found, _ in TEXT.findall(text)]

    def sync(self, moment, process, text):
        number, path = DESCRIPTOR.match(text).groups()
        node = self.handles.get(number, (None,))[0] or self.find(octets(path))[2]
        if moment == "begin":
            self.syncs[process] = node, len(node.changes) if node else 0
            return False
        node, upto = self.syncs.pop(process)
        if node is None or not self.honest or "= 0" not in text:
            return False
        node.permanent = max(node.permanent, upto)
        return True

    def on_open(self, text):
        number, _ = OPENED.search(text).groups()
        folder, name, node = self.find(self.paths(text)[0])
        if name is None:
            self.handles.pop(number, None)
            return False
        changed = False
        if node is None:
            node = Node(b"")
            folder.changes.append({name: node})
            changed = True
        elif "O_TRUNC" in text and node.now():
            node.changes.append((0, None))
            changed = True
        self.handles[number] = [node, 0, "O_APPEND" in text]
        return changed

    def written(self, text, data, at=None):
        number, path = DESCRIPTOR.match(text).groups()
        if number == "1":
            self.out += data
            return False
        # A descriptor that was closed since may be a pipe's by now.
        handle = self.handles.get(number) if octets(path).startswith(os.fsencode(self.base) + b"/") else None
        if handle is None:
            return False
        node, position, appends = handle
        at = len(node.now()) if appends else position if at is None else at
        node.changes.append((at, data))
        handle[1] = at + len(data)
        self.last_write = node
        return True

    def on_write(self, text):
        if any(cut for _, cut in TEXT.findall(text)):
            raise ValueError("the log of strace is cut short: -s is too small")
        count = int(RESULT.findall(text)[-1])
        return self.written(text, b"".join(self.paths(text))[:count])

    on_writev = on_write

    def on_pwrite(self, text):
        return self.written(text, self.paths(text)[0], int(re.search(r", (\d+) *\) += ", text).group(1)))

    def on_ftruncate(self, text):
        handle = self.handles.get(DESCRIPTOR.match(text).group(1))
        if handle is None:
            return False
        handle[0].changes.append((int(re.search(r", (\d+) *\) += ", text).group(1)), None))
        return True

    def on_mkdir(self, text):
        folder, name, _ = self.find(self.paths(text)[0])
        if folder is not None:
            folder.changes.append({name: Node({})})
        return folder is not None

    def on_link(self, text):
        source, target = self.paths(text)
        folder, name, _ = self.find(target)
        if folder is not None:
            folder.changes.append({name: self.find(source)[2]})
        return folder is not None

    def on_rename(self, text):
        source, target = self.paths(text)
        (old, old_name, node), (new, new_name, _) = self.find(source), self.find(target)
        if old is None or new is None:
            return False
        if old is new:
            old.changes.append({old_name: None, new_name: node})
        else:
            new.changes.append({new_name: node})
            old.changes.append({old_name: None})
        return True

    def on_unlink(self, text):
        folder, name, _ = self.find(self.paths(text)[0])
        if folder is not None:
            folder.changes.append({name: None})
        return folder is not None

    def on_copy_file_range(self, text):
        raise ValueError("copy_file_range is not modelled")

    def state(self, how, draw):
        """path -> bytes, `Node` of the base or None for a folder: what is found after a cut now.

        `how`: `lost` (nothing that was not synced), `kept` (everything), `names` (all names, no content that was not
        synced), `data` (the other way round), `torn` (everything, the last write cut at a sector), `mixed` (each change
        by itself there or not)."""
        names = {"lost": lambda _: False, "data": lambda _: False, "mixed": lambda _: draw.random() < 0.5}.get(how, lambda _: True)
        data = {"lost": lambda _: False, "names": lambda _: False, "mixed": lambda _: draw.random() < 0.5}.get(how, lambda _: True)
        found = {}

        def walk(node, path):
            for name, child in sorted(node.with_changes(names).items()):
                here = os.path.join(path, name)
                if child.is_folder():
                    found[here] = None
                    walk(child, here)
                elif child.link and not child.changes:
                    found[here] = child
                else:
                    content = child.with_changes(data)
                    if how == "torn" and child is self.last_write and child.permanent < len(child.changes):
                        at, written = child.changes[-1]
                        content = content[:at + (draw.randrange(len(written) + 1) // 512 * 512 if written else 0)]
                    found[here] = content

        walk(self.root, "")
        return found


def put(state, folder):
    """Writes a state into a folder; files of the base that were not touched are the same files."""
    os.makedirs(folder, exist_ok=True)
    for path, content in state.items():
        target = os.path.join(folder, path)
        if content is None:
            os.makedirs(target, exist_ok=True)
        elif isinstance(content, Node):
            os.link(content.link, target)
        else:
            with open(target, "wb") as file:
                file.write(content)
