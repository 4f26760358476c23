"""Pictures whose pixels are known, and decoders that are not Pillow."""

import io
import struct
import zlib

import av
import numpy as np
from PIL import Image, ImageCms

CORNERS = np.zeros((30, 40, 3), np.uint8)
CORNERS[:15, :20] = (255, 0, 0)
CORNERS[:15, 20:] = (0, 255, 0)
CORNERS[15:, :20] = (0, 0, 255)


def encoded(picture, kind, **options):
    out = io.BytesIO()
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    picture.save(out, kind, **options)
    return out.getvalue()


def opened(path):
    """By Pillow, with the file closed."""
    return Image.open(io.BytesIO(path.read_bytes()))


def smooth(width, height, seed=0):
    """Slow colours, which formats with loss keep."""
    y, x = np.mgrid[:height, :width]
    turns = np.random.default_rng(seed).uniform(1, 3, (3, 2))
    waves = [np.sin(a * x / width + b * y / height) for a, b in turns]
    return np.rint(127.5 + 127.5 * np.stack(waves, -1)).astype(np.uint8)


def stored_for(orientation, shown):
    """What a camera stores with this tag so that viewers show `shown` (EXIF 2.32, 4.6.4)."""
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](shown)
    return np.ascontiguousarray(stored)


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png16(array, colour_type, *more):
    """A 16-bit PNG, which Pillow cannot write but in grey."""
    height, width = array.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = [
        chunk(b"IHDR", header),
        *more,
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def by_ffmpeg(data):
    """Frames as FFmpeg decodes them, RGB."""
    with av.open(io.BytesIO(data)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def difference(a, b):
    return np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int))


def matrix_profile(red, green, blue, gamma):
    """An RGB profile of display primaries (x, y), white D65, and one gamma (ICC.1:2022, 10.18)."""
    white = np.array([0.3127, 0.3290])

    def xyz(xy):
        return np.array([xy[0] / xy[1], 1, (1 - xy[0] - xy[1]) / xy[1]])

    columns = np.stack([xyz(np.array(p)) for p in (red, green, blue)], 1)
    matrix = columns * np.linalg.solve(columns, xyz(white))
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    d50 = np.array([0.9642, 1.0, 0.8249])
    gain = np.diag((bradford @ d50) / (bradford @ xyz(white)))
    matrix = np.linalg.inv(bradford) @ gain @ bradford @ matrix

    def fixed(values):
        return b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    text = b"made"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + text + b"\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + text + b"\0",
        b"wtpt": b"XYZ " + bytes(4) + fixed(d50),
    }
    for n, name in enumerate("rgb"):
        tags[f"{name}XYZ".encode()] = b"XYZ " + bytes(4) + fixed(matrix[:, n])
        tags[f"{name}TRC".encode()] = (
            b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
        )
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    size = at + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(4 + 4 + 8 + 8 + 4)
    head += fixed(d50)
    head += bytes(128 - len(head))
    return head + struct.pack(">I", len(tags)) + table + body, matrix


def srgb_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
