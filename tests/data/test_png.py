"""PNG images: every colour type, depth and filter, written here and by Pillow; damage named."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnrt.data import load_digits, png
from nnrt.data.png import drawn_digit, read_png, resize_area, to_gray, write_png
from nnrt.io import FormatError

RNG = np.random.default_rng(0)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def encode(rows, width, depth, colour, filters=0, step=1, extra=b""):
    """A PNG of packed rows (H, bytes); filters: one filter, or one per row."""
    above = np.zeros(rows.shape[1], int)
    lines = b""
    for y, row in enumerate(rows.astype(int)):
        kind = filters if isinstance(filters, int) else filters[y % len(filters)]
        left, corner = np.zeros_like(row), np.zeros_like(row)
        left[step:], corner[step:] = row[:-step], above[:-step]
        p = left + above - corner
        distance = np.abs(np.stack([p - left, p - above, p - corner]))
        paeth = np.stack([left, above, corner])[distance.argmin(0), np.arange(len(row))]
        guess = [0 * row, left, above, (left + above) // 2, paeth][kind]
        lines += bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes()
        above = row
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0))
    return png.SIGNATURE + head + extra + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def read(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    return read_png(tmp_path / "a.png")


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4, [4, 3, 1, 2, 0]])
@pytest.mark.parametrize("colour, channels", [(0, 1), (2, 3), (4, 2), (6, 4)])
@pytest.mark.parametrize("height, width", [(1, 1), (5, 7)])
def test_filters(tmp_path, kind, colour, channels, height, width):
    image = RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)
    data = encode(image.reshape(height, -1), width, 8, colour, kind, channels)
    np.testing.assert_array_equal(read(tmp_path, data), image)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (5, 7, 1), (3, 4, 2), (2, 5, 3), (6, 1, 4)])
def test_written_images_are_read_again(tmp_path, shape):
    image = RNG.integers(0, 256, shape, dtype=np.uint8)
    write_png(tmp_path / "a.png", image)
    np.testing.assert_array_equal(read_png(tmp_path / "a.png"), image.reshape(*shape[:2], -1))


def test_what_cannot_be_written_is_named(tmp_path):
    for image, error, message in [
        (np.zeros((2, 2)), TypeError, "wants uint8, got float64"),
        (np.zeros((2, 2, 5), np.uint8), ValueError, r"got \(2, 2, 5\)"),
        (np.zeros((0, 2), np.uint8), ValueError, r"got \(0, 2\)"),
        (np.zeros(2, np.uint8), ValueError, r"got \(2,\)"),
    ]:
        with pytest.raises(error, match=message):
            write_png(tmp_path / "a.png", image)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [0, 4])
def test_sixteen_bits(tmp_path, kind):
    image = RNG.integers(0, 65536, (4, 3, 3)).astype(">u2")
    data = encode(image.view(np.uint8).reshape(4, -1), 3, 16, 2, kind, 6)
    np.testing.assert_array_equal(read(tmp_path, data), image >> 8)


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("width", [1, 7, 8, 9])
def test_few_bits(tmp_path, depth, width):
    values = RNG.integers(0, 2**depth, (3, width), dtype=np.uint8)
    bits = np.unpackbits(values[..., None], axis=2)[:, :, 8 - depth :].reshape(3, -1)
    data = encode(np.packbits(bits, axis=1), width, depth, 0)
    np.testing.assert_array_equal(read(tmp_path, data)[..., 0], values * (255 // (2**depth - 1)))


def test_palette(tmp_path):
    palette = RNG.integers(0, 256, (5, 3), dtype=np.uint8)
    index = RNG.integers(0, 5, (4, 6), dtype=np.uint8)
    plte = chunk(b"PLTE", palette.tobytes())
    np.testing.assert_array_equal(read(tmp_path, encode(index, 6, 8, 3, extra=plte)), palette[index])
    got = read(tmp_path, encode(index, 6, 8, 3, extra=plte + chunk(b"tRNS", b"\0\x80")))
    np.testing.assert_array_equal(got[..., :3], palette[index])
    np.testing.assert_array_equal(got[..., 3], np.array([0, 128, 255, 255, 255])[index])
    with pytest.raises(FormatError, match="without its palette"):
        read(tmp_path, encode(index, 6, 8, 3))
    with pytest.raises(FormatError, match="colour 9 of a palette of 5"):
        read(tmp_path, encode(index * 0 + 9, 6, 8, 3, extra=plte))


def test_pillow_writes_what_we_read(tmp_path):
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is the oracle; it is not installed")
    picture = np.add.outer(np.arange(40), 3 * np.arange(50)) + RNG.integers(0, 9, (40, 50))
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        if mode == "I;16":
            made = image_module.fromarray((picture * 97).astype(np.uint16))
        else:
            made = image_module.fromarray(picture.astype(np.uint8)).convert(mode)
        path = tmp_path / "a.png"
        made.save(path, optimize=True)
        if mode == "1":
            want = np.asarray(made).astype(np.uint8) * 255
        elif mode == "I;16":
            want = np.asarray(made) >> 8
        else:
            want = np.asarray(made.convert("RGB") if mode == "P" else made)
        got = read_png(path)
        np.testing.assert_array_equal(got.reshape(want.shape), want, err_msg=mode)


GOOD = encode(np.arange(12, dtype=np.uint8).reshape(3, 4), 4, 8, 0)


def head(width=4, height=3, depth=8, colour=0, method=0, interlace=0):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, method, 0, interlace))


def with_head(new):
    return png.SIGNATURE + new + GOOD[8 + 25 :]


def with_data(packed):
    return png.SIGNATURE + head() + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


BAD = {
    "empty": (b"", "not a PNG"),
    "other": (b"GIF89a", "not a PNG"),
    "cut": (GOOD[:-3], "truncated"),
    "cut in the header": (GOOD[:20], "truncated"),
    "checksum": (GOOD[:30] + b"\xff" + GOOD[31:], "wrong checksum"),
    "no header": (png.SIGNATURE + GOOD[8 + 25 :], "not IHDR"),
    "short header": (with_head(chunk(b"IHDR", b"abc")), "3 bytes, not 13"),
    "no pixels": (with_head(head(width=0)), "0 x 3 pixels"),
    "too many pixels": (with_head(head(1 << 20, 1 << 20)), "pixels; wanted"),
    "depth": (with_head(head(depth=5)), "is not PNG"),
    "colour": (with_head(head(colour=5)), "is not PNG"),
    "interlaced": (with_head(head(interlace=1)), "interlaced"),
    "compression": (with_head(head(method=1)), "unknown"),
    "larger than its data": (with_head(head(height=4)), "wanted 20 bytes, got 15"),
    "smaller than its data": (with_head(head(height=2)), "wanted 10 bytes, got more"),
    "filter 9": (with_data(zlib.compress(b"\x09abcd" * 3)), "line filter 9"),
    "no zlib": (with_data(b"junk"), "damaged image data"),
    "a bomb": (with_data(zlib.compress(bytes(1 << 24))), "more"),
}


@pytest.mark.parametrize("name", BAD)
def test_damage_is_named(tmp_path, name):
    data, message = BAD[name]
    with pytest.raises(FormatError, match=message) as caught:
        read(tmp_path, data)
    assert "a.png" in str(caught.value)


@settings(max_examples=200)
@given(st.integers(8, len(GOOD) - 1), st.integers(0, 255), st.integers(0, 60))
def test_damaged_bytes_never_crash(tmp_path_factory, at, value, cut):
    data = bytearray(GOOD)
    data[at] = value
    try:
        read(tmp_path_factory.mktemp("png"), bytes(data[: len(data) - cut]))
    except FormatError:
        pass


def test_gray():
    image = np.array([[[255, 255, 255, 255], [255, 0, 0, 255], [0, 0, 0, 0], [0, 0, 0, 255]]], np.uint8)
    np.testing.assert_allclose(to_gray(image), [[1, 0.299, 1, 0]], atol=1e-6)
    np.testing.assert_allclose(to_gray(image[..., :1]), [[1, 1, 0, 0]])
    np.testing.assert_allclose(to_gray(image[..., ::3]), [[1, 1, 1, 0]])


def test_resize_keeps_the_mean_and_averages_blocks():
    image = RNG.random((24, 40)).astype(np.float32)
    small = resize_area(image, 8, 8)
    np.testing.assert_allclose(small, image.reshape(8, 3, 8, 5).mean((1, 3)), rtol=1e-5)
    odd = RNG.random((13, 11)).astype(np.float32)
    np.testing.assert_allclose(resize_area(odd, 8, 5).mean(), odd.mean(), rtol=1e-5)
    np.testing.assert_allclose(resize_area(odd, 13, 11), odd, rtol=1e-6)


def as_image(digit, factor=1, invert=False):
    values = (digit * 255).round().astype(np.uint8)
    values = np.kron(values, np.ones((factor, factor), np.uint8))
    return (255 - values if invert else values)[..., None]


@pytest.mark.parametrize("invert", [False, True])
def test_a_drawn_digit_comes_back(invert):
    images = load_digits("test")[0].array[:40, 0]
    likeness = []
    for digit in images:
        np.testing.assert_allclose(drawn_digit(as_image(digit, 1, invert)), digit, atol=2 / 255)
        # Enlarged, moved and framed: nearly the same image again.
        framed = np.pad(as_image(digit, 8, invert), ((30, 10), (7, 44), (0, 0)), constant_values=255 * invert)
        again = drawn_digit(framed)
        likeness.append(np.corrcoef(again.ravel(), digit.ravel())[0, 1])
    assert np.mean(likeness) > 0.9


def test_images_that_are_no_digits():
    with pytest.raises(ValueError, match="7 x 8 pixels; wanted at least 8 x 8"):
        drawn_digit(np.zeros((7, 8, 1), np.uint8))
    for shade in (0, 128, 255):
        with pytest.raises(ValueError, match="no ink"):
            drawn_digit(np.full((20, 20, 3), shade, np.uint8))
