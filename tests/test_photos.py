"""Photos of every kind and size, and broken ones."""

import struct
import sys
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFile

from kfkd.errors import DataError
from kfkd.pipelines.photo_reading import chunks, photo_paths, photo_sources, read_photos
from kfkd.pipelines.photos import MOST_PIXELS, photo_size, read_photo

WIDTH, HEIGHT = 60, 40
DOT = (45, 8)
"""Where the bright dot of `dotted` is."""


def dotted(width=WIDTH, height=HEIGHT, dot=DOT):
    """A dark picture with a bright 5 × 5 dot, so that its turns can be told apart."""
    pixels = np.full((height, width, 3), 20, np.uint8)
    pixels[dot[1] - 2 : dot[1] + 3, dot[0] - 2 : dot[0] + 3] = 240
    return pixels


def brightest(pixels):
    """The centre of what is bright, (x, y)."""
    rows, columns = np.nonzero(pixels.max(axis=2) > 150)
    return columns.mean(), rows.mean()


def rgba(pixels, corner=255):
    alpha = np.full((*pixels.shape[:2], 1), 255, np.uint8)
    alpha[0, 0] = corner
    return Image.fromarray(np.concatenate([pixels, alpha], axis=2))


def palette(pixels):
    return Image.fromarray(pixels).convert("P", palette=Image.Palette.ADAPTIVE)


KINDS = {
    "rgb.jpg": lambda p: Image.fromarray(p),
    "rgb.png": lambda p: Image.fromarray(p),
    "grey.png": lambda p: Image.fromarray(p[..., 0]),
    "grey.jpg": lambda p: Image.fromarray(p[..., 0]),
    "rgba.png": rgba,
    "grey_alpha.png": lambda p: rgba(p).convert("LA"),
    "palette.gif": palette,
    "bilevel.png": lambda p: Image.fromarray(p[..., 0]).convert("1", dither=Image.Dither.NONE),
    "sixteen_bit.png": lambda p: Image.fromarray(p[..., 0].astype(np.uint16) * 257),
    "twelve_bit.tif": lambda p: Image.fromarray(p[..., 0].astype(np.uint16) * 16),
    "float.tif": lambda p: Image.fromarray(p[..., 0].astype(np.float32) / 255),
    "cmyk.jpg": lambda p: Image.fromarray(p).convert("CMYK"),
    "palette.bmp": palette,
    "rgb.webp": lambda p: Image.fromarray(p),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_picture_is_read(tmp_path, name):
    KINDS[name](dotted()).save(tmp_path / name)
    photo = read_photo(tmp_path / name)
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.shape == (HEIGHT, WIDTH, 3)
    assert (photo.scale, photo.size) == (1, (WIDTH, HEIGHT))
    assert brightest(photo.pixels) == pytest.approx(DOT, abs=0.3)
    assert photo.pixels.max() > 200  # 16 bits are not cut off, nor left in the dark
    assert photo.pixels.min() < 60


def test_what_is_transparent_becomes_white(tmp_path):
    rgba(dotted(), corner=0).save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png").pixels[0, 0].tolist() == [255, 255, 255]


TURNS = {
    1: (Image.Transpose.ROTATE_90, 0),
    2: (Image.Transpose.FLIP_LEFT_RIGHT, 1),
    3: (Image.Transpose.ROTATE_180, 1),
    4: (Image.Transpose.FLIP_TOP_BOTTOM, 1),
    5: (Image.Transpose.TRANSPOSE, 1),
    6: (Image.Transpose.ROTATE_90, 1),
    7: (Image.Transpose.TRANSVERSE, 1),
    8: (Image.Transpose.ROTATE_270, 1),
}
"""How a camera that writes this orientation has stored an upright scene."""


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_phone_photos_are_turned_upright(tmp_path, orientation, suffix):
    turn, needed = TURNS[orientation]
    stored = Image.fromarray(dotted())
    stored = stored.transpose(turn) if needed else stored
    exif = Image.Exif()
    exif[274] = orientation
    stored.save(tmp_path / f"phone.{suffix}", exif=exif, quality=95)
    photo = read_photo(tmp_path / f"phone.{suffix}")
    assert photo.size == (WIDTH, HEIGHT)
    assert photo.pixels.shape == (HEIGHT, WIDTH, 3)
    assert brightest(photo.pixels) == pytest.approx(DOT, abs=0.3)


def test_broken_exif_data_do_no_harm(tmp_path):
    exif = b"Exif\x00\x00MM\x00*\xff\xff\xff\xff" + b"\x00" * 20
    Image.fromarray(dotted()).save(tmp_path / "a.jpg", exif=exif)
    assert read_photo(tmp_path / "a.jpg").size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("suffix", "width", "height"), [("jpg", 8200, 6100), ("png", 6000, 4000)])
def test_a_huge_photo_is_decoded_small(tmp_path, suffix, width, height, orientation):
    path, dot = tmp_path / f"huge.{suffix}", (5000, 3000)
    picture = Image.new("L", (width, height), 20)
    picture.paste(240, (dot[0] - 100, dot[1] - 100, dot[0] + 101, dot[1] + 101))
    exif = Image.Exif()
    exif[274] = orientation
    picture.save(path, exif=exif, quality=30, compress_level=1)
    del picture
    tracemalloc.start()  # sees NumPy's arrays
    photo = read_photo(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = (width, height) if orientation == 1 else (height, width)
    expected = dot if orientation == 1 else (height - 1 - dot[1], dot[0])
    assert photo.size == size
    assert photo.pixels.size <= 3 * MOST_PIXELS
    assert peak < 2.5 * 3 * MOST_PIXELS
    found = (np.array(brightest(photo.pixels)) + 0.5) * photo.scale - 0.5
    assert found == pytest.approx(expected, abs=photo.scale)


def test_a_long_strip_stays_within_opencvs_limits(tmp_path):
    Image.new("L", (40_000, 10)).save(tmp_path / "strip.png")
    photo = read_photo(tmp_path / "strip.png")
    assert max(photo.pixels.shape) < 32767
    assert photo.size == (40_000, 10)


def test_one_pixel_is_a_photo(tmp_path):
    Image.new("RGB", (1, 1), "red").save(tmp_path / "dot.png")
    assert read_photo(tmp_path / "dot.png").pixels.tolist() == [[[255, 0, 0]]]


def bomb(path):
    """A PNG's header that promises 60,000 × 60,000 pixels."""
    import zlib

    def part(kind, content):
        sum_ = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", sum_)

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"\0" * 100)) + part(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def truncated(path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    whole = path.with_suffix(f".whole.{suffix}")
    Image.fromarray(noise).save(whole)
    path.write_bytes(whole.read_bytes()[:3000])


BROKEN = {
    "text.jpg": (lambda p: p.write_text("no picture"), "is no image that can be read"),
    "empty.png": (lambda p: p.write_bytes(b""), "is no image that can be read"),
    "cut.jpg": (lambda p: truncated(p, "jpg"), "truncated"),
    "cut.png": (lambda p: truncated(p, "png"), "cannot be read as an image"),
    "head.jpg": (lambda p: p.write_bytes(b"\xff\xd8\xff\xe0"), "is no image"),
    "absent.jpg": (lambda p: None, "there is no such file"),
    "folder.jpg": (lambda p: p.mkdir(), "directory"),
    "bomb.png": (bomb, "megapixels"),
    "nan.tif": (lambda p: Image.fromarray(np.full((4, 5), np.nan, np.float32)).save(p), "finite"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_in_one_sentence(tmp_path, name):
    make, message = BROKEN[name]
    make(tmp_path / name)
    with pytest.raises(DataError, match=message) as caught:
        read_photo(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "level"),
    [
        (np.full((4, 5), 200, np.uint8), 200),
        (np.full((4, 5, 1), 200, np.uint8), 200),
        (np.full((4, 5, 3), 200, np.uint8), 200),
        (np.full((4, 5, 4), 255, np.uint8), 255),
        (np.full((4, 5), 65535, np.uint16), 255),
        (np.full((4, 5, 3), 1.0), 255),
        (np.full((4, 5, 3), 128.0, np.float32), 128),
        (np.zeros((4, 5), bool).astype(np.int64), 0),
    ],
)
def test_arrays_are_photos(array, level):
    photo = read_photo(array)
    assert photo.pixels.shape == (4, 5, 3)
    assert photo.pixels.dtype == np.uint8
    assert (photo.pixels == level).all()


def test_a_huge_array_is_reduced():
    photo = read_photo(np.full((40, 80, 3), 7, np.uint8), most_pixels=900)
    assert photo.pixels.shape == (20, 40, 3)
    assert (photo.scale, photo.size) == (2, (80, 40))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 0, 3), np.uint8), "(0, 0, 3)"),
        (np.zeros((4, 5, 2), np.uint8), "(4, 5, 2)"),
        (np.zeros(4, np.uint8), "(4,)"),
        (np.full((4, 5), np.nan), "finite"),
        (np.full((4, 5), -1), "int64"),
        (np.full((4, 5), "a"), "<U1"),
    ],
)
def test_other_arrays_are_refused(array, message):
    with pytest.raises(DataError) as caught:
        read_photo(array)
    assert message in str(caught.value)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK"])
def test_pillow_images_are_photos(mode):
    image = Image.fromarray(dotted()).convert(mode)
    photo = read_photo(image)
    assert photo.pixels.dtype == np.uint8 and photo.pixels.shape == (HEIGHT, WIDTH, 3)
    assert (photo.scale, photo.size, photo.path) == (1, (WIDTH, HEIGHT), "")
    assert brightest(photo.pixels) == pytest.approx(DOT, abs=0.3)
    assert (image.mode, image.size) == (mode, (WIDTH, HEIGHT))


def test_an_opened_photo_is_read_as_its_file_is_and_stays_whole(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(dotted()).resize((900, 600)).save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as image:
        photo = read_photo(image, most_pixels=100_000)
        assert np.asarray(image).shape == (600, 900, 3)
    assert photo.size == read_photo(tmp_path / "a.jpg").size == (600, 900)
    assert photo.scale == 3 and photo.pixels.shape == (300, 200, 3)


def test_pillow_images_without_pixels_or_cut_short_are_named(tmp_path):
    with pytest.raises(DataError, match=r"wants pixels. Received: .*\(0, 3\)"):
        read_photo(Image.new("RGB", (0, 3)))
    truncated(tmp_path / "cut.png", "png")
    cut = Image.open(tmp_path / "cut.png")
    with cut, pytest.raises(DataError, match="cannot be read as an image"):
        read_photo(cut)


HEIC = b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf" + bytes(80)


class FakeHeic(ImageFile.ImageFile):
    """A decoder that finds the same picture in every file."""

    def _open(self):
        self.im = Image.fromarray(dotted()).im
        self._mode, self._size = "RGB", (WIDTH, HEIGHT)


def test_heic_is_read_where_its_package_is_there(tmp_path, monkeypatch):
    Image.init()
    for name in ("OPEN", "ID"):
        monkeypatch.setattr(Image, name, getattr(Image, name).copy())
    heif = SimpleNamespace(register_heif_opener=lambda: Image.register_open("HEIF", FakeHeic))
    (tmp_path / "phone.jpg").write_bytes(HEIC)  # some programs only rename them
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for read in (read_photo, photo_size):
        with pytest.raises(DataError, match=r"phone.jpg: is a HEIC photo: pip install pillow-heif"):
            read(tmp_path / "phone.jpg")
    monkeypatch.setitem(sys.modules, "pillow_heif", heif)
    Image.fromarray(dotted()).save(tmp_path / "plain.jpg")
    read_photo(tmp_path / "plain.jpg")
    assert "HEIF" not in Image.OPEN, "not asked for"
    photo = read_photo(tmp_path / "phone.jpg")
    assert photo.size == (WIDTH, HEIGHT)
    assert brightest(photo.pixels) == pytest.approx(DOT)


def test_a_folder_gives_its_photos_in_order(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "a.faces.jpg"):
        (tmp_path / name).touch()
    assert [p.name for p in photo_paths([tmp_path])] == ["a.png", "b.JPG"]
    assert photo_paths([tmp_path / "notes.txt"]) == [tmp_path / "notes.txt"]
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"holds no photos, wanted .*\.webp$"):
        photo_paths([tmp_path / "none"])
    (tmp_path / "none" / "deeper").mkdir()
    with pytest.raises(DataError, match=r"holds no photos.*; folders in it are not searched"):
        photo_paths([tmp_path / "none"])


def test_sources_of_all_kinds(tmp_path):
    (tmp_path / "a.png").touch()
    stack = np.zeros((3, 4, 4, 3), np.uint8)
    assert len(photo_sources([tmp_path, str(tmp_path / "a.png"), stack, stack[0]])) == 6
    image = Image.fromarray(stack[0])
    assert photo_sources(image) == photo_sources([image]) == [image]
    for nothing in ([], stack[:0], 7, None):
        with pytest.raises(DataError, match="photos want"):
            photo_sources(nothing)


def test_photos_come_in_order_in_bounded_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("kfkd.pipelines.photo_reading._CHUNK_PIXELS", 250)
    arrays = [np.full((10, 10), level, np.uint8) for level in range(10, 80, 10)]
    read = list(chunks(read_photos([*arrays, tmp_path / "absent.png"]), count=4))
    assert [len(chunk) for chunk in read] == [3, 3, 2]
    *photos, broken = [photo for chunk in read for _, photo in chunk]
    assert [photo.pixels[0, 0, 0] for photo in photos] == list(range(10, 80, 10))
    assert isinstance(broken, DataError)
