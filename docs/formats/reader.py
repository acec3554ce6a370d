#!/usr/bin/env python3
"""Reads cyrvault repositories of format version 1, without cyrvault: written from the documents beside it.

    reader.py REPOSITORY list
    reader.py REPOSITORY mailboxes BACKUP
    reader.py REPOSITORY restore BACKUP NEW-DIRECTORY
    reader.py REPOSITORY check

The password of an encrypted repository: --password-file FILE, or $CYRVAULT_PASSWORD_FILE, or $CYRVAULT_PASSWORD.
A secret file or a paper key instead: --key-file FILE, or $CYRVAULT_KEY_FILE.
BACKUP is an id as `list` prints it, the beginning of one, or `latest`. Needs Python 3.9 with brotli and cryptography
(Debian: python3-brotli python3-cryptography). Exit code 0: all is well; 1: something is not, and was said on standard error.

Repository: repository.md. Keys, seal: keys.md. Pack, Packs: pack.md. assemble: message.md. Cursor, Manifest: manifest.md
sections 1 to 4. Restore: manifest.md section 5. Nothing is believed before its seal, MAC or object id has been compared. Holds
one message, a few blocks and the directories of all packs in memory; uses neither segments nor the LevelDB.
"""
import argparse, base64, collections, grp, hashlib, hmac, json, os, pwd, re, stat, sys, unicodedata, zlib
import brotli
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

VERSION = 1
DATA, MESSAGE, META, MANIFEST = 1, 2, 3, 4


class Damage(Exception):
    """Something in the repository is not as the documents say."""


def need(condition, what):
    if not condition:
        raise Damage(what)


class Cursor:
    """Numbers and strings: pack.md "Conventions", manifest.md section 1."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def bytes(self, n):
        need(n <= len(self.data) - self.at, "cut short")
        self.at += n
        return self.data[self.at - n : self.at]

    def u8(self):
        return self.bytes(1)[0]

    def u32(self):
        return int.from_bytes(self.bytes(4), "big")

    def varint(self, size=8, most=2**53 - 1):
        value = 0
        for i in range(size):
            byte = self.u8()
            value |= (byte & 127) << (7 * i)
            if byte < 128:
                need((byte or not i) and value <= most, "number out of range")
                return value
        raise Damage("number too long")

    def zigzag(self):
        return unzigzag(self.varint(10, 2**64 - 1))

    def string(self):
        return self.bytes(self.varint())

    def id(self):
        return self.bytes(32)

    def many(self, read):
        return [read() for _ in range(self.varint())]

    def near(self, base):
        v = self.varint()
        return base + unzigzag(v - 1) if v else self.varint()

    def front(self, previous):
        p = self.varint()
        need(p <= len(previous), "prefix longer than the string before")
        return previous[:p] + self.string()

    def time(self, base):
        """Nanoseconds and the base for the next time."""
        v = self.varint()
        if v == 3:
            seconds, rest = self.zigzag(), self.u32()
            base = (0, 0)
        else:
            need(v & 3 != 3, "unknown form of time")
            seconds = base[0] + unzigzag(v >> 2)
            rest = (0, None, base[1])[v & 3] if v & 3 != 1 else self.u32()
            base = (seconds, rest)
        need(rest < 10**9, "nanoseconds out of range")
        return seconds * 10**9 + rest, base

    def end(self):
        need(self.at == len(self.data), "bytes left over")


def unzigzag(n):
    return (n >> 1) ^ -(n & 1)


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def keyed(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def unseal(key, number, associated, stored):
    """keys.md "The seal"; without a key the keyless form."""
    need(len(stored) >= 16, "cut short")
    nonce = bytes(4) + number.to_bytes(8, "big")
    if key is not None:
        try:
            return AESGCM(key).decrypt(nonce, stored, associated)
        except InvalidTag:
            raise Damage("its seal does not fit") from None
    need(sha(nonce, associated, stored[:-16])[:16] == stored[-16:], "its seal does not fit")
    return stored[:-16]


def printed(value):
    """As JSON.stringify(value, null, 2) and a line feed."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def read_json(data, fields):
    """A file that may be spelled in one way only: keys.md "Key file", repository.md "cyrvault.json"."""
    try:
        value = json.loads(data)
    except ValueError:
        raise Damage("not JSON") from None
    need(isinstance(value, dict), "not an object")
    need(value.get("format") == fields.pop("format"), "another format")
    need(value.get("version") == VERSION, f"version {value.get('version')} is unknown here")
    need(list(value) == ["format", "version", *fields], "not these fields")
    for name, pattern in fields.items():
        ok = isinstance(value[name], dict) if pattern is dict else re.fullmatch(pattern, str(value[name]))
        need(ok, f"{name} is out of range")
    need(printed(value) == data, "spelled otherwise than it was written")
    return value


def read_file(path, limit):
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    need(len(data) <= limit, "too large")
    return data


class Repository:
    """repository.md, keys.md."""

    def __init__(self, path, secret):
        self.path, self.complaints = path, 0
        fields = dict(format="cyrvault repository", id="[0-9a-f]{32}", created=".*", objectIds=".*", sealing=".*",
                      parameters=dict, features=dict, mac="[0-9a-f]{64}")
        value = read_json(read_file(os.path.join(path, "cyrvault.json"), 65536), fields)
        form = (value["objectIds"], value["sealing"])
        need(form in (("sha-256", "none"), ("hmac-sha-256", "aes-256-gcm")), f"cannot read {form}")
        need(value["features"].get("read") == [], f"needs what is unknown here: {value['features'].get('read')}")
        self.encrypted = form[1] != "none"
        mac, text = bytes.fromhex(value["mac"]), printed({**value, "mac": ""})
        self.id_key = self.index_key = None
        self.content_keys = {}
        if not self.encrypted:
            need(secret is None, "the repository is not encrypted: refusing a password")
            need(self.mac(b"repository", text) == mac, "cyrvault.json: its MAC does not fit")
            return
        need(secret is not None, "the repository is encrypted: give a password")
        wrong = 0
        if secret[0] == "paper":
            content = paper_key(secret[1])
            need(content[:16].hex() == value["id"], "the paper key belongs to another repository")
            self.id_key, self.index_key, self.content_keys = self.key_set(content[16:])
            need(hmac.compare_digest(self.mac(b"repository", text), mac), "its keys are not those of cyrvault.json")
            return
        for name in sorted(os.listdir(os.path.join(path, "keys"))):
            if not re.fullmatch(r"[0-9a-f]{32}\.json", name):
                continue
            try:
                keys = self.open_key_file(name, *secret)
                if keys is None:
                    wrong += 1
                    continue
                self.id_key, self.index_key, self.content_keys = keys
                if hmac.compare_digest(self.mac(b"repository", text), mac):
                    return
                raise Damage("its keys are not those of cyrvault.json")
            except (Damage, OSError) as error:
                self.complain(f"keys/{name}", error)
        raise Damage("wrong password" if wrong else "no key file opens")

    def complain(self, where, error):
        self.complaints += 1
        print(f"{where}: {error}", file=sys.stderr)

    def open_key_file(self, name, kind, secret):
        data = read_file(os.path.join(self.path, "keys", name), 1 << 20)
        # A key that may only write says so, and is of no use here.
        rights = dict(rights="write") if b'\n  "rights": "write",\n' in data else {}
        fields = dict(format="cyrvault key", id=name[:32], created=".*", **rights, kdf=dict, wrap=dict, check="[0-9a-f]{32}")
        value = read_json(data, fields)
        kdf, wrap = value["kdf"], value["wrap"]
        need(sha(printed({**value, "check": ""}))[:16].hex() == value["check"], "damaged")
        need(list(wrap) == ["scheme", "sealed"] and wrap["scheme"] == 1, "unknown way of wrapping")
        salt = kdf.get("salt")
        need(re.fullmatch("([0-9a-f]{2}){16,64}", str(salt)), "salt")
        key = self.wrapping_key(kdf, bytes.fromhex(salt), kind, secret)
        if key is None or rights:
            return None
        associated = printed({**value, "wrap": {**wrap, "sealed": ""}, "check": ""})
        try:
            plain = unseal(key, 0, associated, bytes.fromhex(wrap["sealed"]))
        except Damage:
            return None
        return self.key_set(plain)

    def wrapping_key(self, kdf, salt, kind, secret):
        if kdf["name"] == "key-file":
            need(list(kdf) == ["name", "salt"], "not these fields")
            return keyed(sha(secret), b"cyrvault key file\0\0", salt) if kind == "file" else None
        need(list(kdf) == ["name", "n", "r", "p", "salt"] and kdf["name"] == "scrypt", "not scrypt")
        n, r, p = (kdf[x] for x in ("n", "r", "p"))
        need(all(type(x) is int for x in (n, r, p)) and n >= 2 and n & (n - 1) == 0, "scrypt: n")
        need(0 < r <= 64 and 0 < p <= 64 and 128 * n * r <= 1 << 30 and n * r * p <= 1 << 25, "scrypt: too much")
        if kind != "password":
            return None
        return hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, dklen=32, maxmem=128 * r * (n + p + 4) + (1 << 20))

    def key_set(self, plain):
        c = Cursor(plain)
        need(c.u8() == 1, "unknown version of the key set")
        entries = c.many(lambda: (c.u8(), c.u32(), c.id()))
        c.end()
        names = [entry[:2] for entry in entries]
        epochs = [epoch for tag, epoch in names if tag == 3]
        expected = [(1, 0), (2, 0), *((3, x) for x in epochs), *((4, x) for x in epochs), (6, 0)]
        need(names == expected and epochs == sorted(set(epochs)) and 0 not in epochs, "not these keys")
        need(epochs and len(names) <= 1000, "number of keys")
        secrets = {(tag, epoch): secret for tag, epoch, secret in entries}
        return secrets[1, 0], secrets[2, 0], {epoch: (secrets[3, epoch], secrets[4, epoch]) for epoch in epochs}

    def mac(self, purpose, data):
        message = b"cyrvault mac\0" + purpose + b"\0" + data
        return keyed(self.index_key, message) if self.encrypted else sha(message)

    def object_id(self, domain, data):
        message = bytes([domain]) + data
        return keyed(self.id_key, message) if self.encrypted else sha(message)

    def part_key(self, purpose, file_id):
        return keyed(self.index_key, b"cyrvault file\0", purpose, b"\0", file_id) if self.encrypted else None

    def header(self, start, magic):
        """keys.md "Header of packs and sealed files": header bytes, kind, id, file key."""
        c = Cursor(start)
        need(c.bytes(8) == magic, "no such file of cyrvault's")
        version, length = c.u8(), int.from_bytes(c.bytes(2), "big")
        need(82 <= length <= len(start) and sha(start[: length - 16])[:16] == start[length - 16 : length], "damaged header")
        need(version == VERSION, f"version {version} is unknown here")
        kind, file_id, epoch, scheme = c.u8(), c.id(), c.u32(), c.u8()
        c.bytes(16)
        wrapped = c.string()
        need(c.at + 16 == length, "length of the header")
        need(scheme in ((1, 2) if self.encrypted else (0,)), "another way of wrapping")
        need(len(wrapped) == (0, 48, 80)[scheme], "the wrapped key has another length")
        if not self.encrypted:
            need(epoch == 0, "an epoch in an unencrypted repository")
            return start[:length], kind, file_id, None
        need(epoch in self.content_keys, f"no content key of epoch {epoch}")
        content, agreement = self.content_keys[epoch]
        wrapping = keyed(content, b"cyrvault wrap\0\0", file_id)
        if scheme == 2:
            wrapping, wrapped = agreed(agreement, wrapped[:32], file_id), wrapped[32:]
        return start[:length], kind, file_id, unseal(wrapping, 0, start[:66], wrapped)

    def sealed_file(self, purpose, name, limit):
        data = read_file(os.path.join(self.path, name), limit)
        header, kind, _, key = self.header(data, b"CYRVFILE")
        need(kind == 0, "kind")
        associated = header + varint(len(purpose)) + purpose + varint(len(name)) + name.encode()
        return unseal(key, 0, associated, data[len(header) :])

    def backups(self):
        names = os.listdir(os.path.join(self.path, "backups"))
        return sorted(name for name in names if re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", name))

    def root(self, backup):
        try:
            root = json.loads(self.sealed_file(b"backup", "backups/" + backup, (16 << 20) + 4096))
        except ValueError:
            raise Damage("not JSON") from None
        need(isinstance(root, dict) and root.get("format") == VERSION, "another format of manifest")
        need(root.get("backup") == backup, "the root of another backup")
        return root


class Pack:
    """pack.md: the directory of one pack, and its blocks."""

    def __init__(self, repository, name):
        self.path = os.path.join(repository.path, "packs", name[:2], name)
        with open(self.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header, self.kind, self.id, self.key = repository.header(file.read(1024), b"CYRVPACK")
            need(self.id.hex() == name and self.kind in (1, 2), "another pack")
            need(size >= len(header) + 36, "cut short")
            file.seek(size - 36)
            footer = Cursor(file.read(36))
            offset, length = int.from_bytes(footer.bytes(8), "big"), footer.u32()
            need(sha(header, footer.data[:12])[:16] == footer.bytes(16) and footer.bytes(8) == b"CYRVPEND", "damaged footer")
            need(len(header) <= offset and offset + length == size - 36, "the directory's place")
            need(length <= 1 << 28, "the directory is too large")
            file.seek(offset)
            stored = file.read(length)
        associated = varint(9) + b"directory" + self.id + bytes(8) + header + offset.to_bytes(8, "big")
        c = Cursor(unseal(repository.part_key(b"directory", self.id), 0, associated, stored))
        codec, raw = c.u8(), c.u32()
        columns = Cursor(decompress(codec, c.bytes(c.u32()), raw))
        b, n, e, at = (columns.varint() for _ in range(4))
        need(b <= 1 << 16 and n <= 1 << 20 and e <= 1 << 21 and at == len(header), "the directory's counts")
        codecs, stored, raws, counts = list(columns.bytes(b)), *([columns.varint() for _ in range(b)] for _ in range(3))
        self.kinds = columns.bytes(n)
        heads = [columns.varint() for _ in range(n)]
        messages = [i for i in range(n) if self.kinds[i] == MESSAGE]
        tails, referred = ({i: columns.varint() for i in messages} for _ in range(2))
        need(sum(referred.values()) <= 1 << 21, "too many references")
        references = {i: [columns.varint() for _ in range(referred[i])] for i in messages}
        columns.end()
        external = [c.id() for _ in range(e)]
        self.ids = [c.id() for _ in range(n)]
        c.end()
        need(all(kind in ((DATA, MESSAGE) if self.kind == 1 else (META, MANIFEST)) for kind in self.kinds), "kinds")
        need(sum(counts) == n and 0 not in counts, "objects of the blocks")
        self.blocks, self.places, first = [], [], 0
        for k in range(b):
            need(raws[k] <= 16 << 20 and stored[k] <= raws[k] + 16, "length of a block")
            need(codecs[k] or stored[k] == raws[k] + 16, "length of a block")
            self.blocks.append((at, stored[k], codecs[k], raws[k]))
            at, head, members = at + stored[k], 0, range(first, first + counts[k])
            tail = sum(heads[i] for i in members)
            for i in members:
                self.places.append((k, head, heads[i], tail, tails.get(i, 0)))
                head, tail = head + heads[i], tail + tails.get(i, 0)
            need(tail == raws[k], "length of a block")
            first += counts[k]
        need(at == offset, "the blocks do not end where the directory begins")
        self.references = {}
        for i, ordinals in references.items():
            need(all(x < n + e and (x >= n or self.kinds[x] == DATA) for x in ordinals), "a reference to nothing")
            self.references[i] = [self.ids[x] if x < n else external[x - n] for x in ordinals]

    def block(self, number):
        at, length, codec, raw = self.blocks[number]
        with open(self.path, "rb") as file:
            file.seek(at)
            stored = file.read(length)
        associated = self.id + number.to_bytes(4, "big") + bytes([1, self.kind]) + at.to_bytes(8, "big")
        return decompress(codec, unseal(self.key, number, associated, stored), raw)


def decompress(codec, data, raw):
    """pack.md "Block". Makes little more than `raw` bytes, whatever is in `data`."""
    need(codec in (0, 1, 2), f"codec {codec} is unknown here")
    out = data
    try:
        if codec == 1:
            inflate = zlib.decompressobj(-15)
            out = inflate.decompress(data, raw + 1)
            need(inflate.eof and not inflate.unused_data, "does not decompress")
        if codec == 2:
            unbrotli, pieces, made = brotli.Decompressor(), [], 0
            for at in range(0, len(data), 1024):
                need(made <= raw and not unbrotli.is_finished(), "does not decompress")
                pieces.append(unbrotli.process(data[at : at + 1024]))
                made += len(pieces[-1])
            need(unbrotli.is_finished(), "does not decompress")
            out = b"".join(pieces)
    except (zlib.error, brotli.error):
        raise Damage("does not decompress") from None
    need(len(out) == raw, "another length than the directory says")
    return out


class Packs:
    """Objects by their ids: repository.md "Finding an object", pack.md "Reading an object"."""

    def __init__(self, repository):
        self.repository, self.packs, self.where = repository, [], collections.defaultdict(list)
        self.cache = collections.OrderedDict()
        base = os.path.join(repository.path, "packs")
        for name in sorted(name for prefix in sorted(os.listdir(base)) if re.fullmatch("[0-9a-f]{2}", prefix)
                           for name in os.listdir(os.path.join(base, prefix))
                           if re.fullmatch("[0-9a-f]{64}", name) and name.startswith(prefix)):
            try:
                pack = Pack(repository, name)
            except (Damage, OSError) as error:
                repository.complain(f"packs/{name[:2]}/{name}", error)
                continue
            for ordinal, (kind, object_id) in enumerate(zip(pack.kinds, pack.ids)):
                self.where[kind, object_id].append((pack, ordinal))
            self.packs.append(pack)

    def get(self, kind, object_id):
        error = Damage("is in no pack")
        for pack, ordinal in self.where.get((kind, object_id), ()):
            try:
                return self.read(pack, ordinal)
            except (Damage, OSError) as caught:
                self.repository.complain(f"pack {pack.id.hex()}, object {ordinal}", caught)
                error = caught
        raise Damage(f"object {object_id.hex()}: {error}")

    def read(self, pack, ordinal):
        number, head, head_length, tail, tail_length = pack.places[ordinal]
        if (pack.id, number) not in self.cache:
            self.cache[pack.id, number] = pack.block(number)
            while len(self.cache) > 8:
                self.cache.popitem(last=False)
        self.cache.move_to_end((pack.id, number))
        block = self.cache[pack.id, number]
        data, kind = block[head : head + head_length], pack.kinds[ordinal]
        if kind == MESSAGE:
            references = (self.get(DATA, x) for x in pack.references[ordinal])
            data = assemble(data, block[tail : tail + tail_length], references)
        need(self.repository.object_id(kind, data) == pack.ids[ordinal], "its content is not what its id says")
        return data


def assemble(head, tail, references):
    """message.md."""
    c = Cursor(head)
    total, count, pieces, at = c.varint(), c.varint(), [], 0
    for _ in range(count):
        tag, length = c.varint(), c.varint()
        need(tag in (0, 1, 2, 3, 6, 7) and length > 0, "a piece's tag or length")
        referred = c.varint() if tag & 1 else 0
        need(not tag & 1 or 1 <= referred <= length, "a piece's number of references")
        line = c.varint() if tag & 2 else 0
        need(line <= 65536, "a piece's length of lines")
        pieces.append((tag, length, referred, line))
    out = [head[c.at :]]
    for tag, length, referred, line in pieces:
        if tag & 1:
            source = [next(references, b"") for _ in range(referred)]
            need(all(source), "an empty or missing reference")
            source = b"".join(source)
        else:
            source, at = tail[at : at + length], at + length
        need(len(source) == length, "a piece's source")
        if tag & 2:
            text = base64.b64encode(source)
            lines = [text[i : i + line] for i in range(0, len(text), line)] if line else [text]
            source = (b"\n" if tag & 4 else b"\r\n").join(lines)
        out.append(source)
    need(next(references, None) is None, "references left over")
    out.append(tail[at:])
    message = b"".join(out)
    need(len(message) == total, "another length than the message's")
    return message


def joined(pieces):
    """Stretches of a file from its pairs: manifest.md "Pairs"."""
    cache_offset = 0
    for lasting in pieces:
        changing = Cursor(next(pieces))
        method = changing.u8()
        need(method in (0, 1, 2), "an unknown way to make a pair")
        if method == 2:
            stretch, cache_offset = joined_index(lasting, changing, cache_offset)
        else:
            stretch, cache_offset = joined_twoskip(lasting, changing) if method else lasting, 0
            changing.end()
        yield stretch


def joined_twoskip(lasting, changing):
    out = [changing.string()]
    planes = changing.bytes(len(changing.data) - changing.at)
    count, link, c = len(planes) // 8, 0, Cursor(lasting)
    need(count * 8 == len(planes), "half a link")
    while c.at < len(lasting):
        head = c.bytes(8)
        if head[0] == 0x20:
            out.append(head)
            continue
        need(head[0] in b"=+-$" and head[1] < 32, "no record")
        key, value = int.from_bytes(head[2:4], "big"), int.from_bytes(head[4:8], "big")
        if key == 0xFFFF:
            head += c.bytes(8)
            key = int.from_bytes(head[-8:], "big")
        if value == 0xFFFFFFFF:
            head += c.bytes(8)
            value = int.from_bytes(head[-8:], "big")
        need(link + head[1] + 1 <= count, "links are missing")
        for _ in range(head[1] + 1):
            head += planes[link::count]
            link += 1
        out += [head, zlib.crc32(head).to_bytes(4, "big"), c.bytes(4 + (key + value + 7) // 8 * 8)]
    need(link == count, "more links than records have")
    return b"".join(out)


def joined_index(lasting, changing, cache_offset):
    """Columns are (offset, width, kind): plain, numbers by planes, or differences by planes."""
    number = lambda kind, *offsets: [(offset, 4, kind) for offset in offsets]
    record_bytes, prefix = changing.varint(), changing.string()
    need(record_bytes in (96, 104, 112), "records of no known size")
    changes = number("differences", 24, 28) + number("planes", 32, 36, 40, 44, 48, 80) + number("differences", 84)
    lasts = number("differences", 0, 4, 8) + number("planes", 12, 16) + number("differences", 20, 52) + number("planes", 56)
    lasts += [(60, 20, "plain")] + {
        96: number("planes", 88),
        104: [(88, 8, "plain")] + number("planes", 96),
        112: [(88, 8, "plain")] + number("planes", 96) + number("differences", 100) + number("planes", 104),
    }[record_bytes]
    rest = changing.bytes(len(changing.data) - changing.at)
    count = len(rest) // 36
    need(count > 0 and len(rest) == count * 36, "columns of different lengths")
    need(len(lasting) == count * sum(width for _, width, _ in lasts), "columns of different lengths")
    records = bytearray(count * record_bytes)
    for data, columns in ((lasting, lasts), (rest, changes)):
        at = 0
        for offset, width, kind in columns:
            column, at = data[at : at + count * width], at + count * width
            value = cache_offset if offset == 24 else 0
            for i in range(count):
                if kind == "plain":
                    entry = column[i * width : (i + 1) * width]
                else:
                    entry = column[i::count]
                if kind == "differences":
                    value = (value + int.from_bytes(entry, "big")) % 2**32
                    entry = value.to_bytes(4, "big")
                records[i * record_bytes + offset : i * record_bytes + offset + width] = entry
    for at in range(0, len(records), record_bytes):
        end = at + record_bytes - 4
        records[end : end + 4] = zlib.crc32(bytes(records[at:end])).to_bytes(4, "big")
    last = len(records) - record_bytes + 24
    return prefix + bytes(records), int.from_bytes(records[last : last + 4], "big")


class Manifest:
    """manifest.md: what one backup records."""

    def __init__(self, repository, packs, backup):
        self.packs, self.root = packs, repository.root(backup)

    def tree(self, name):
        tree = self.root[name]
        page = tree["page"]
        return (page and bytes.fromhex(page), tree["height"], tree["entries"])

    def walk(self, kind, tree):
        """Sections 2 and 3: (key, entry) of all leaves. `tree` is (page or None, height, entries)."""
        page, height, entries = tree
        need(0 <= height <= 8 and (page is None) == (entries == 0), "a tree of pages")
        last = None
        if page is not None:
            for key, entry in self.walk_page(kind, page, height, entries, None):
                need(last is None or last < key, "keys do not ascend")
                last = key
                yield key, entry

    def walk_page(self, kind, page, level, entries, first):
        c = Cursor(self.packs.get(MANIFEST, page))
        need(c.u8() == (kind | 0x80 if level else kind) and c.u8() == 1, "another kind or version of page")
        if level == 0:
            leaf = {1: self.messages, 2: self.mailboxes, 3: self.files}[kind](c)
            c.end()
            need(len(leaf) == entries > 0 and first in (None, leaf[0][0]), "a page is not what the page above says")
            yield from leaf
            return
        need(c.u8() == level, "level of a page")
        children, key = [], b""
        for i in range(c.varint()):
            key = c.front(key) if kind != 1 else c.varint() + (key + 1 if i else 0)
            children.append((key, c.id(), c.varint()))
        c.end()
        need(sum(child[2] for child in children) == entries > 0 and first in (None, children[0][0]),
             "a page is not what the page above says")
        for key, child, count in children:
            yield from self.walk_page(kind, child, level - 1, count, key)

    def messages(self, c):
        count, uid = c.varint(), -1
        uids = []
        for _ in range(count):
            uid += 1 + c.varint()
            uids.append(uid)
        need(count and 0 < uids[0] and uid < 1 << 32, "a UID")
        objects = [c.id() for _ in range(count)]
        owners = c.many(lambda: tuple(c.varint() for _ in range(4)))
        owner = []
        while len(owner) < count:
            position, run = c.varint(), c.varint() + 1
            need(position < len(owners) and len(owner) + run <= count, "owners of the messages")
            owner += [owners[position]] * run
        times, inodes, base, inode = [], [], (0, 0), 0
        for _ in range(count):
            time, base = c.time(base)
            times.append(time)
        for _ in range(count):
            inode = c.near(inode)
            inodes.append(inode)

        def sparse(read):
            found, at = {}, -1
            for _ in range(c.varint()):
                at += 1 + c.varint()
                need(at < count, "a position beyond the page")
                found[at] = read()
            return found

        linked, good = sparse(lambda: True), sparse(c.id)
        sparse(c.varint)
        return [(uids[i], dict(object=good.get(i, objects[i]), good=i in good, directory=owner[i][0], mode=owner[i][1],
                               uid=owner[i][2], gid=owner[i][3], mtime=times[i], inode=inodes[i], linked=i in linked))
                for i in range(count)]

    def tables(self, c):
        """The strings and owners of a page, and a reader of its stats."""
        strings = c.many(c.string)
        owners = c.many(lambda: tuple(c.varint() for _ in range(4)))
        base, inode = (0, 0), 0

        def read_stat():
            nonlocal base, inode
            position, size = c.varint(), c.varint()
            need(position < len(owners), "an owner")
            mode, uid, gid, links = owners[position]
            mtime, base = c.time(base)
            c.time(base)
            inode = c.near(inode)
            return dict(mode=mode, uid=uid, gid=gid, links=links, size=size, mtime=mtime, inode=inode)

        def text():
            position = c.varint()
            need(position < len(strings), "a string")
            return strings[position]

        return text, read_stat

    def other(self, c, flags, stat_, text):
        """What is the same for a file of a mailbox and any other."""
        content = self.content(c) if flags & 4 else None
        target = c.string() if flags & 8 else None
        return dict(stat_, content=content, target=target, left_out=text() if flags & 32 else None)

    def content(self, c):
        """(size, pieces): what it holds itself, or ids of `meta` objects, or the id of their list."""
        form = c.u8()
        if form == 0:
            data = c.string()
            return len(data), ("inline", data)
        need(form in (1, 2, 3), "unknown form of content")
        size = c.varint()
        return size, ("objects", tuple(c.many(c.id))) if form == 1 else ("list" if form == 2 else "pairs", c.id())

    def mailboxes(self, c):
        text, read_stat = self.tables(c)
        found, name, path = [], b"", b""
        for _ in range(c.varint()):
            flags = c.varint()
            name = c.front(name)
            if flags & 1:
                c.string()
            partition, _, _ = text(), text(), text()
            if flags & 2:
                text()
            numbers = [c.varint() for _ in range(8)]
            directories, files = [], []
            for _ in range(c.varint()):
                role = c.u8()
                path = c.front(path)
                directories.append((role, path, read_stat()))
            for _ in range(c.varint()):
                flags, directory, file_name = c.varint(), c.varint(), text()
                need(directory < len(directories), "a directory")
                files.append((directory, file_name, self.other(c, flags, read_stat(), text)))
            entries = c.varint()
            height, page = (c.varint(), c.id()) if entries else (0, None)
            c.varint(), c.varint()
            found.append((name, dict(partition=partition, messages=numbers[6], bytes=numbers[7], directories=directories,
                                     files=files, tree=(page, height, entries))))
        return found

    def files(self, c):
        text, read_stat = self.tables(c)
        found, path = [], b""
        for _ in range(c.varint()):
            flags = c.varint()
            path = c.front(path)
            found.append((path.replace(b"/", b"\0"), dict(self.other(c, flags, read_stat(), text), path=path)))
        return found

    def pieces(self, content):
        """The bytes of a content, piece by piece."""
        size, (form, what) = content
        if form in ("list", "pairs"):
            listed = self.packs.get(META, what)
            need(len(listed) % (32 if form == "list" else 64) == 0, "a list of ids")
            what = [listed[i : i + 32] for i in range(0, len(listed), 32)]
        pieces = [what] if form == "inline" else (self.packs.get(META, x) for x in what)
        for piece in joined(pieces) if form == "pairs" else pieces:
            size -= len(piece)
            yield piece
        need(size == 0, "another length than the entry says")


class Restore:
    """manifest.md section 5. The target is new and ours alone (mode 0700) until the end; symbolic links come last."""

    def __init__(self, repository, manifest, target):
        self.repository, self.manifest, self.target = repository, manifest, os.fsencode(target)
        self.known, self.attributes, self.symlinks, self.links, self.linked = {self.target}, {}, [], {}, set()
        self.counts = collections.Counter()
        names = manifest.root
        self.uids = {int(n): self.number(pwd.getpwnam, name, int(n)) for n, name in names["users"].items()}
        self.gids = {int(n): self.number(grp.getgrnam, name, int(n)) for n, name in names["groups"].items()}
        self.roots = sorted((from_text(x["path"]) for x in names["roots"]), key=len, reverse=True)

    @staticmethod
    def number(look_up, name, number):
        try:
            return look_up(name)[2]
        except KeyError:
            return number

    def run(self):
        os.mkdir(self.target, 0o700)
        for _, mailbox in self.manifest.walk(2, self.manifest.tree("mailboxes")):
            for _, entry in self.manifest.walk(1, mailbox["tree"]):
                if entry["linked"]:
                    self.linked.add((self.filesystem(mailbox, entry), entry["inode"]))
        for _, entry in self.manifest.walk(3, self.manifest.tree("files")):
            self.other(entry["path"], entry)
        for name, mailbox in self.manifest.walk(2, self.manifest.tree("mailboxes")):
            self.counts["mailboxes"] += 1
            for _, path, directory in mailbox["directories"]:
                self.directory(path, directory)
            for position, file_name, entry in mailbox["files"]:
                need(file_name not in (b"", b".", b"..") and b"/" not in file_name, "a file's name")
                self.other(mailbox["directories"][position][1] + b"/" + file_name, entry)
            for uid, entry in self.manifest.walk(1, mailbox["tree"]):
                filesystem = self.filesystem(mailbox, entry)
                path = mailbox["directories"][entry["directory"]][1] + b"/%d." % uid
                if entry["good"]:
                    print(f"{os.fsdecode(path)}: was damaged at the source, its good copy is restored", file=sys.stderr)
                linked = (filesystem, entry["inode"]) in self.linked
                pieces = lambda: [self.manifest.packs.get(MESSAGE, entry["object"])]
                self.write(path, entry, linked, filesystem, entry["object"], pieces)
                self.counts["messages"] += 1
        for path, target, entry in self.symlinks:
            os.symlink(target, path)
            self.finish(path, entry)
        made = self.known - set(self.attributes) - {self.target}
        for path in sorted(made | set(self.attributes), key=len, reverse=True):
            self.finish(path, self.attributes.get(path), 0o7777)
        listed = self.manifest.root["mailboxList"]
        if listed is not None:
            self.mailbox_list(listed)
        os.chmod(self.target, 0o755)

    @staticmethod
    def filesystem(mailbox, entry):
        """Messages of one partition and role lie in one filesystem."""
        need(entry["directory"] < len(mailbox["directories"]), "a directory")
        return MESSAGE, mailbox["directories"][entry["directory"]][0], mailbox["partition"]

    def mailbox_list(self, listed):
        """A content in the root is spelled as JSON: section 4."""
        what = dict(inline=lambda: base64.b64decode(listed["bytes"], validate=True), list=lambda: bytes.fromhex(listed["list"]),
                    pairs=lambda: bytes.fromhex(listed["list"]),
                    objects=lambda: [bytes.fromhex(x) for x in listed["ids"]])[listed["form"]]()
        size = listed.get("size", len(what))
        backup = self.manifest.root["backup"].encode()
        path = os.path.join(self.target, b"cyrvault-mailbox-list-" + backup + b".txt")
        with open(path, "xb") as file:
            for piece in self.manifest.pieces((size, (listed["form"], what))):
                file.write(piece)
        os.chmod(path, 0o600)

    def place(self, path):
        """Where a path of the server goes: below the target, through directories that we made."""
        parts = path.split(b"/")
        need(path.startswith(b"/") and len(parts) > 1 and b"\0" not in path, "a path that is none")
        need(not {b"", b".", b".."} & set(parts[1:]), f"a path that leads elsewhere: {path!r}")
        above = self.target
        for part in parts[1:-1]:
            above += b"/" + part
            self.make(above)
        return self.target + path

    def make(self, path):
        if path not in self.known:
            os.mkdir(path, 0o700)
            self.known.add(path)

    def directory(self, path, entry):
        place = self.place(path)
        self.make(place)
        self.attributes.setdefault(place, entry)

    def other(self, path, entry):
        if stat.S_ISDIR(entry["mode"]):
            self.directory(path, entry)
        elif entry["left_out"] is None and entry["target"] is not None:
            self.symlinks.append((self.place(path), entry["target"], entry))
        elif entry["left_out"] is None and entry["content"] is None:
            print(f"{os.fsdecode(path)}: its content is not in the backup", file=sys.stderr)
        elif entry["left_out"] is None:
            root = next((x for x in self.roots if path == x or path.startswith(x.rstrip(b"/") + b"/")), None)
            pieces = lambda: self.manifest.pieces(entry["content"])
            self.write(path, entry, entry["links"] > 1, root, entry["content"], pieces)
            self.counts["files"] += 1

    def write(self, path, entry, linked, filesystem, content, pieces):
        """A file, or a further name of one: section 5 says which are the same file."""
        place = self.place(path)
        same = (filesystem, entry["inode"], entry["mode"], entry["mtime"], content)
        if linked and entry["inode"] and same in self.links:
            os.link(self.links[same], place)
            return
        try:
            with open(place, "xb") as file:
                for piece in pieces():
                    file.write(piece)
            self.finish(place, entry)
            if linked:
                self.links[same] = place
        except Damage as error:
            self.repository.complain(os.fsdecode(path), error)
            os.unlink(place)

    def finish(self, path, entry, bits=0o1777):
        """Owner where we may, then mode, then time. Without an entry: a directory on the way, of which nothing is known."""
        if entry is None:
            os.chmod(path, 0o755)
            return
        if os.geteuid() == 0:
            uid, gid = entry["uid"], entry["gid"]
            os.chown(path, self.uids.get(uid, uid), self.gids.get(gid, gid), follow_symlinks=False)
        if entry.get("target") is None:
            os.chmod(path, entry["mode"] & bits)
        os.utime(path, ns=(entry["mtime"], entry["mtime"]), follow_symlinks=False)


def from_text(text):
    """manifest.md section 4: a path in the root."""
    return b"".join(bytes.fromhex(part[2:]) if part.startswith("\\x") else part.encode()
                    for part in re.split(r"(\\x[0-9a-f]{2})", text))


def agreed(private, sender, file_id):
    """keys.md "Header": scheme 2."""
    private = X25519PrivateKey.from_private_bytes(private)
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(sender))
    except ValueError:
        raise Damage("a public key that agrees on nothing") from None
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return keyed(shared, b"cyrvault wrap\0x25519\0", sender, public, file_id)


def paper_key(data):
    """keys.md "Paper key": its content."""
    lines = [line.strip() for line in data.decode().lower().split("\n")]
    title, repository, *lines, end = [line for line in lines if line]
    content = b""
    for number, line in enumerate(lines, 1):
        need(line.startswith(f"{number}:"), f"paper key, line {number}")
        text = letters(line.partition(":")[2])
        try:
            part = base64.b32decode(text[:-4] + "=" * (-len(text[:-4]) % 8))
        except ValueError:
            part = b""
        need(base32(sha(number.to_bytes(2, "big"), part))[:4] == text[-4:] and part, f"paper key, line {number}")
        content += part
    need(letters(end.removeprefix("end")) == base32(sha(content))[:8], "paper key: a line is lacking")
    need(repository == "repository " + content[:16].hex(), "paper key: the repository's id")
    return content


def letters(text):
    return text.replace(" ", "").translate(str.maketrans("018", "oib")).upper()


def base32(data):
    return base64.b32encode(data).decode().rstrip("=")


def secret_of(arguments):
    """keys.md: (password, file or paper, bytes), or None."""
    path = arguments.key_file
    environment = os.environ
    if path is None and arguments.password_file is None and not {"CYRVAULT_PASSWORD", "CYRVAULT_PASSWORD_FILE"} & {*environment}:
        path = environment.get("CYRVAULT_KEY_FILE")
    if path is not None:
        data = read_file(path, 1 << 16)
        return ("paper" if data.lstrip().lower().startswith(b"cyrvault paper key 1") else "file", data)
    password = password_of(arguments)
    return None if password is None else ("password", password)


def password_of(arguments):
    """keys.md "Key file": a file's bytes but for one line end."""
    if arguments.password_file is None and "CYRVAULT_PASSWORD" in os.environ:
        password = os.fsencode(os.environ["CYRVAULT_PASSWORD"])
    else:
        path = arguments.password_file or os.environ.get("CYRVAULT_PASSWORD_FILE")
        if path is None:
            return None
        password = re.sub(rb"\r?\n\Z", b"", read_file(path, 1 << 16))
    try:
        return unicodedata.normalize("NFC", password.decode()).encode()
    except UnicodeDecodeError:
        return password


def when(ms):
    from datetime import datetime, timezone
    return datetime.fromtimestamp(ms / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def check(repository, packs):
    for pack in packs.packs:
        for ordinal in range(len(pack.ids)):
            try:
                packs.read(pack, ordinal)
            except (Damage, OSError) as error:
                repository.complain(f"pack {pack.id.hex()}, object {ordinal}", error)
    print(f"{len(packs.packs)} packs, {sum(len(pack.ids) for pack in packs.packs)} objects")


def main():
    parser = argparse.ArgumentParser(description="Reads cyrvault repositories without cyrvault.")
    parser.add_argument("--password-file")
    parser.add_argument("--key-file")
    parser.add_argument("repository")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    commands.add_parser("check")
    commands.add_parser("mailboxes").add_argument("backup")
    restore = commands.add_parser("restore")
    restore.add_argument("backup")
    restore.add_argument("target")
    arguments = parser.parse_args()
    repository = Repository(arguments.repository, secret_of(arguments))
    backups = repository.backups()
    if arguments.command == "list":
        for backup in backups:
            try:
                root = repository.root(backup)
                counts = root["counts"]
                print(f"{backup}  {root['server']}  {when(root['startedMs'])}  {counts['mailboxes']} mailboxes, "
                      f"{counts['messages']} messages, {counts['files']} files")
            except Damage as error:
                repository.complain(f"backups/{backup}", error)
        return repository.complaints
    packs = Packs(repository)
    if arguments.command == "check":
        check(repository, packs)
        return repository.complaints
    chosen = backups[-1:] if arguments.backup == "latest" else [x for x in backups if x.startswith(arguments.backup)]
    need(len(chosen) == 1, f"{len(chosen)} backups are meant by {arguments.backup}")
    manifest = Manifest(repository, packs, chosen[0])
    if arguments.command == "mailboxes":
        for name, mailbox in manifest.walk(2, manifest.tree("mailboxes")):
            print(f"{mailbox['messages']:9} {mailbox['bytes']:14}  {name.decode(errors='backslashreplace')}")
    else:
        restore = Restore(repository, manifest, arguments.target)
        restore.run()
        print(", ".join(f"{count} {what}" for what, count in restore.counts.items()))
    return repository.complaints


if __name__ == "__main__":
    try:
        sys.exit(1 if main() else 0)
    except (Damage, OSError) as error:
        sys.exit(f"reader.py: {error}")
