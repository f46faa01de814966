"""PNG images (ISO/IEC 15948), and bringing a drawn digit into the shape of the bundled ones.

read_png     file -> uint8 (H, W, C), C = 1 grey, 2 grey+alpha, 3 RGB, 4 RGBA
write_png    the way back
to_gray      (H, W, C) -> float32 (H, W) in [0, 1], transparent parts white
resize_area  (H, W) -> (h, w), every new pixel the mean over the area that it covers
"""

import os
import struct
import zlib

import numpy as np

from ..io.atomic import replacing
from ..io.errors import FormatError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # per colour type; 3 is a palette
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
MAX_PIXELS = 1 << 26  # 64 million: far above a photograph, far below what would exhaust the memory


def read_png(path):
    """The image as uint8 (H, W, C); 16-bit samples keep their upper 8 bits, palettes become RGB or RGBA.

    All colour types, depths and filters; not Adam7-interlaced files. Checksums are verified.
    Raises FormatError (a ValueError) naming the file and what is wrong, OSError when it cannot be read.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        data = file.read()
    if not data.startswith(SIGNATURE):
        raise FormatError(path, "not a PNG image")
    header, palette, alpha, packed = None, None, None, []
    for kind, body in _chunks(path, data):
        if header is None and kind != b"IHDR":
            raise FormatError(path, f"the first chunk is {kind!r}, not IHDR")
        if kind == b"IHDR":
            header = _header(path, body)
        elif kind == b"PLTE":
            if not body or len(body) % 3 or len(body) > 768:
                raise FormatError(path, f"a palette of {len(body)} bytes")
            palette = np.frombuffer(body, np.uint8).reshape(-1, 3)
        elif kind == b"tRNS":
            alpha = np.frombuffer(body, np.uint8)
        elif kind == b"IDAT":
            packed.append(body)
    width, height, depth, colour = header
    samples = _unfilter(path, b"".join(packed), width, height, depth, CHANNELS[colour])
    if colour == 3:
        return _look_up(path, samples, palette, alpha)
    if depth < 8:
        samples = samples * np.uint8(255 // (2**depth - 1))
    return samples


def write_png(path, image):
    """Writes uint8 (H, W) or (H, W, C), C from 1 to 4 as read_png has it, replacing the file all at once.

    Raises TypeError for another dtype, ValueError for another shape.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise TypeError(f"write_png: wants uint8, got {image.dtype}")
    lines = image[..., None] if image.ndim == 2 else image
    if lines.ndim != 3 or not 1 <= lines.shape[2] <= 4 or not lines.size:
        raise ValueError(f"write_png: wants shape (H, W) or (H, W, C) with C from 1 to 4, got {image.shape}")
    height, width, channels = lines.shape
    colour = next(colour for colour, count in CHANNELS.items() if count == channels)
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # a line begins with its filter: 0, none
    rows[:, 1:] = lines.reshape(height, -1)
    with replacing(path) as file:
        file.write(SIGNATURE)
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")):
            file.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))


def _chunks(path, data):
    """(kind, body) of every chunk up to IEND."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if length > len(data) - at - 12:
            break
        body = data[at + 8 : at + 8 + length]
        if zlib.crc32(kind + body) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            raise FormatError(path, f"damaged: wrong checksum in chunk {kind!r}")
        if kind == b"IEND":
            return
        yield kind, body
        at += 12 + length
    raise FormatError(path, "truncated: it ends before the chunk IEND")


def _header(path, body):
    if len(body) != 13:
        raise FormatError(path, f"the chunk IHDR has {len(body)} bytes, not 13")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", body)
    if not width or not height or width * height > MAX_PIXELS:
        raise FormatError(path, f"{width} x {height} pixels; wanted 1 to {MAX_PIXELS} in all")
    if depth not in DEPTHS.get(colour, ()):
        raise FormatError(path, f"colour type {colour} with {depth} bits is not PNG")
    if compression or filtering:
        raise FormatError(path, f"compression {compression} and filter method {filtering} are unknown")
    if interlace:
        raise FormatError(path, "interlaced (Adam7) images cannot be read; save it without interlacing")
    return width, height, depth, colour


def _unfilter(path, packed, width, height, depth, channels):
    """Decompresses and undoes the line filters: uint8 (H, W, C), samples below 8 bits unpacked."""
    row = (width * channels * depth + 7) // 8
    step = max(1, channels * depth // 8)  # bytes from a byte to the same byte of the pixel to its left
    wanted = height * (row + 1)
    try:
        raw = zlib.decompressobj().decompress(packed, wanted + 1)
    except zlib.error as error:
        raise FormatError(path, f"damaged image data: {error}") from None
    if len(raw) != wanted:
        held = len(raw) if len(raw) < wanted else "more"
        raise FormatError(path, f"damaged image data: wanted {wanted} bytes, got {held}")
    lines = np.frombuffer(raw, np.uint8).reshape(height, row + 1)
    out = np.zeros((height + 1, row), np.uint8)  # the line above the first is 0
    for y in range(height):
        _unfilter_line(path, lines[y, 0], lines[y, 1:], out[y], out[y + 1], step)
    out = out[1:]
    if depth == 16:
        out = out[:, ::2]
    elif depth < 8:
        bits = np.unpackbits(out, axis=1).reshape(height, -1, depth)
        out = np.packbits(bits, axis=2, bitorder="big")[:, : width * channels, 0] >> (8 - depth)
    return np.ascontiguousarray(out).reshape(height, width, channels)


def _unfilter_line(path, kind, line, above, out, step):
    """out = line + prediction from the left (a), above (b) and above-left (c) bytes, modulo 256."""
    if kind == 0:
        out[:] = line
    elif kind == 1:  # a: a running sum per byte of the pixel
        for i in range(step):
            np.add.accumulate(line[i::step], out=out[i::step])
    elif kind == 2:  # b
        np.add(line, above, out=out)
    elif kind in (3, 4):
        values, up, made = line.tolist(), above.tolist(), [0] * step
        corner = [0] * step + up
        for i, value in enumerate(values):
            a, b = made[i], up[i]
            guess = (a + b) >> 1 if kind == 3 else _paeth(a, b, corner[i])
            made.append((value + guess) & 255)
        out[:] = made[step:]
    else:
        raise FormatError(path, f"damaged image data: line filter {kind}")


def _paeth(a, b, c):
    """Whichever of a, b, c is closest to a + b - c, in this order of preference."""
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    if pa <= pb and pa <= pc:
        return a
    return b if pb <= pc else c


def _look_up(path, samples, palette, alpha):
    if palette is None:
        raise FormatError(path, "a palette image without its palette")
    index = samples[..., 0]
    if index.max() >= len(palette):
        raise FormatError(path, f"colour {index.max()} of a palette of {len(palette)}")
    if alpha is None:
        return palette[index]
    opacity = np.full(len(palette), 255, np.uint8)
    count = min(len(alpha), len(palette))
    opacity[:count] = alpha[:count]
    return np.concatenate([palette, opacity[:, None]], 1)[index]


def to_gray(image):
    """Luminance (ITU-R BT.601) of uint8 (H, W, C) as float32 (H, W) in [0, 1]; transparent is white."""
    values = image.astype(np.float32) / np.float32(255)
    channels = values.shape[2]
    gray = values[..., 0] if channels < 3 else values[..., :3] @ np.float32([0.299, 0.587, 0.114])
    if channels in (2, 4):
        gray = gray * values[..., -1] + (1 - values[..., -1])
    return gray


def resize_area(image, height, width):
    """(H, W) -> (height, width) by area: each new pixel is the mean over the rectangle it covers."""
    return _coverage(image.shape[0], height) @ image @ _coverage(image.shape[1], width).T


def _coverage(old, new):
    """(new, old): the share of each old cell in each new one; rows sum to 1."""
    edges = np.arange(new + 1) * (old / new)
    cells = np.arange(old)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    return (np.clip(overlap, 0, None) * (new / old)).astype(np.float32)


def drawn_digit(image):
    """A drawing of a digit as the bundled digits are: float32 (8, 8) in [0, 1], the ink at 1.

    image: uint8 (H, W, C), at least 8 x 8. Dark ink on light ground is inverted (the ground is what
    the border shows). An 8 x 8 image is otherwise taken as it is; a larger one is cut to its ink,
    centred in a square and resized by area. Raises ValueError for a smaller image or one without ink.
    """
    height, width = image.shape[:2]
    if height < 8 or width < 8:
        raise ValueError(f"an image of {height} x {width} pixels; wanted at least 8 x 8")
    gray = to_gray(image)
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    ink = 1 - gray if np.median(border) > 0.5 else gray
    if (height, width) == (8, 8):
        return ink
    ink = np.clip(ink - np.median(border if ink is gray else 1 - border), 0, None)
    if ink.max() < 0.1:
        raise ValueError("the image has no ink: all its pixels are nearly the same")
    ink = ink / ink.max()
    rows, columns = np.flatnonzero((ink > 0.2).any(1)), np.flatnonzero((ink > 0.2).any(0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(ink.shape)
    top, left = (side - ink.shape[0]) // 2, (side - ink.shape[1]) // 2
    square = np.zeros((side, side), np.float32)
    square[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return np.clip(resize_area(square, 8, 8), 0, 1)
