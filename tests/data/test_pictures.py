"""One image file: scaled by the range of its format, upright, single, opaque; all else is refused by name."""

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, TiffImagePlugin

from redlib.data.pictures import check_background, read_picture
from redlib.errors import BadInput

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
ORIENTATION = 0x0112
GREY_16 = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)  # 0, 257, 514, ...


def saved(tmp_path, image, suffix="png", **options):
    path = tmp_path / f"picture.{suffix}"
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path, **options)
    return path


def tiff(tmp_path, values, bits, **tags):
    """A grey TIFF of one strip, written here: Pillow writes only some of the formats that it reads."""
    height, width = values.shape
    data = values.tobytes() if bits != 12 else packed_12(values)
    entries = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(data)}
    entries |= {int(tag[1:]): value for tag, value in tags.items()}
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", tag, 4, 1, entries[tag]) for tag in sorted(entries))
    path = tmp_path / "picture.tif"
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + directory + bytes(4))
    return path


def packed_12(values):
    pairs = values.reshape(-1, 2).astype(int)
    first, second = pairs.T
    return np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], 1).astype(np.uint8).tobytes()


# ---- depth ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bit_grey_is_scaled_by_its_range(tmp_path, suffix):
    pixels, changes = read_picture(saved(tmp_path, GREY_16, suffix), "L")
    assert pixels.dtype == np.uint8 and np.array_equal(pixels[0], RAMP)
    assert changes == ("scaled from 16 bits to 8 bits",)


def test_sixteen_bit_grey_becomes_the_same_grey_in_colour(tmp_path):
    pixels, _ = read_picture(saved(tmp_path, GREY_16))
    assert pixels.shape == (3, 16, 16) and all(np.array_equal(channel, RAMP) for channel in pixels)


def test_twelve_bits_of_a_tiff_are_scaled_by_4095(tmp_path):
    values = np.linspace(0, 4095, 256).round().astype(np.uint16).reshape(16, 16)
    pixels, changes = read_picture(tiff(tmp_path, values, 12), "L")
    assert np.abs(pixels[0].astype(int) - RAMP).max() <= 1 and pixels.max() == 255
    assert changes == ("scaled from 12 bits to 8 bits",)


def test_floats_from_0_to_1_are_scaled(tmp_path):
    pixels, changes = read_picture(saved(tmp_path, RAMP.astype(np.float32) / 255, "tiff"), "L")
    assert np.array_equal(pixels[0], RAMP) and changes == ("scaled from floats 0..1 to 8 bits",)


@pytest.mark.parametrize("value", [2.0, -0.5, np.nan, np.inf])
def test_floats_of_another_range_are_refused(tmp_path, value):
    values = np.zeros((4, 4), np.float32)
    values[1, 2] = value
    with pytest.raises(BadInput, match=r"picture\.tiff.*0\.\.1"):
        read_picture(saved(tmp_path, values, "tiff"), "L")


@pytest.mark.parametrize(
    "values, bits, tags",
    [
        (np.arange(16, dtype=np.int32), 32, {"t339": 2}),
        (np.arange(16, dtype=np.uint32), 32, {}),
        (np.arange(-8, 8, dtype=np.int16), 16, {"t339": 2}),
        (np.arange(-8, 8, dtype=np.int8), 8, {"t339": 2}),
        (np.arange(16, dtype=np.uint16), 16, {"t262": 0}),
    ],
    ids=["32 bits signed", "32 bits", "16 bits signed", "8 bits signed", "white is zero"],
)
def test_values_whose_range_is_not_known_are_refused(tmp_path, values, bits, tags):
    with pytest.raises(BadInput, match=rf"picture\.tif: {bits} bits.*16 bits"):
        read_picture(tiff(tmp_path, values.reshape(4, 4), bits, **tags), "L")


def test_one_bit_is_black_and_white(tmp_path):
    pixels, changes = read_picture(saved(tmp_path, Image.fromarray(RAMP > 127)), "L")
    assert np.array_equal(pixels[0], np.where(RAMP > 127, 255, 0)) and changes == ()


# ---- orientation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_is_set_upright_once(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = Image.fromarray(RAMP[:12])
    lossless = {"webp": {"lossless": True}}.get(suffix, {})
    plain = np.asarray(Image.open(saved(tmp_path, image, suffix, **lossless)).convert("L"))
    turn = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: np.transpose,
        6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).T, 8: np.rot90,
    }[orientation]  # fmt: skip
    pixels, changes = read_picture(saved(tmp_path, image, suffix, exif=exif, **lossless), "L")
    assert np.array_equal(pixels[0], turn(plain))
    assert changes == (("turned upright by their EXIF orientation",) if orientation > 1 else ())


def test_sixteen_bits_are_turned_before_they_are_scaled(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    pixels, changes = read_picture(saved(tmp_path, GREY_16, exif=exif), "L")
    assert np.array_equal(pixels[0], np.rot90(RAMP, -1)) and len(changes) == 2


def test_an_upright_picture_is_scaled_to_the_size_after_the_turn(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = saved(tmp_path, RAMP[:4], exif=exif)
    upright = ImageOps.exif_transpose(Image.open(path)).resize((8, 8), Image.Resampling.BILINEAR)
    assert np.array_equal(read_picture(path, "L", 8).pixels[0], np.asarray(upright))


# ---- transparency, colour, frames -------------------------------------------------------------------------


def half_transparent(mode):
    """The left half of a grey square of 200 is hidden."""
    alpha = np.full((4, 4), 255, np.uint8)
    alpha[:, :2] = 0
    image = Image.fromarray(np.full((4, 4), 200, np.uint8)).convert("RGB" if mode == "RGBA" else "L")
    image.putalpha(Image.fromarray(alpha))
    return image


def keyed(mode):
    """The left half has the value that a tRNS chunk declares to be transparent."""
    values = np.full((4, 4), 200, np.uint8)
    values[:, :2] = 7
    return Image.fromarray(values).convert(mode), {"transparency": (7, 7, 7) if mode == "RGB" else 7}


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_hidden_does_not_show_through(tmp_path, mode):
    path = saved(tmp_path, half_transparent(mode))
    with pytest.raises(BadInput, match=r"picture\.png: transparent.*background='white'"):
        read_picture(path)
    pixels, changes = read_picture(path, "L", None, "#646464")
    assert pixels[0].tolist() == [[100, 100, 200, 200]] * 4 and changes == ("laid over #646464",)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_colour_declared_transparent_is_refused_or_covered(tmp_path, mode):
    image, options = keyed(mode)
    path = saved(tmp_path, image, **options)
    with pytest.raises(BadInput, match="transparent"):
        read_picture(path)
    assert read_picture(path, "L", None, "white").pixels[0].tolist() == [[255, 255, 200, 200]] * 4


def test_a_palette_is_read_as_its_colours_and_its_transparency_seen(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    pixels, changes = read_picture(saved(tmp_path, image))
    assert pixels[:, 0].T.tolist() == [[10, 20, 30], [40, 50, 60]] and changes == ()
    path = saved(tmp_path, image, transparency=b"\xff\x00")
    with pytest.raises(BadInput, match="transparent"):
        read_picture(path)
    assert read_picture(path, "RGB", None, "black").pixels[:, 0].T.tolist() == [[10, 20, 30], [0, 0, 0]]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_an_opaque_alpha_channel_changes_nothing(tmp_path, mode):
    image = Image.fromarray(RAMP).convert(mode)
    pixels, changes = read_picture(saved(tmp_path, image), "L")
    assert np.array_equal(pixels[0], RAMP) and changes == ()


def test_cmyk_is_turned_to_rgb_and_told(tmp_path):
    image = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    pixels, changes = read_picture(saved(tmp_path, image, "tif"))
    assert pixels[:, 0, 0].tolist() == [0, 255, 255]
    assert changes == ("turned from CMYK to RGB without a colour profile",)


@pytest.mark.parametrize("suffix", ["tif", "webp", "png"])
def test_several_pictures_in_a_file_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(RAMP), Image.fromarray(RAMP.T.copy()), Image.fromarray(255 - RAMP)]
    path = saved(tmp_path, frames[0], suffix, save_all=True, append_images=frames[1:])
    with pytest.raises(BadInput, match=rf"picture\.{suffix}: 3 pictures"):
        read_picture(path, "L")


def test_a_photograph_with_a_preview_is_the_photograph(tmp_path):
    photograph, preview = Image.fromarray(RAMP), Image.fromarray(RAMP[:4])
    path = tmp_path / "picture.jpg"
    photograph.save(path, format="MPO", save_all=True, append_images=[preview], quality=100)
    assert np.abs(read_picture(path, "L").pixels[0].astype(int) - RAMP).max() < 8


@pytest.mark.parametrize("background", ["no colour", "#ffffff80", 3])
def test_a_background_must_be_an_opaque_colour(background):
    with pytest.raises(BadInput, match="background.*'white'"):
        check_background(background)


# ---- damage -----------------------------------------------------------------------------------------------


def png(width, height, *chunks):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, [(b"IHDR", header), *chunks]))


def chunk(named):
    name, data = named
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def broken_checksum():
    content = bytearray(png(4, 4, (b"IDAT", zlib.compress(bytes(20))), (b"IEND", b"")))
    content[29] ^= 255  # of the header's checksum
    return bytes(content)


def broken_chunk():
    cut = zlib.compress(bytes(20))[:5]
    return png(4, 4, (b"IDAT", cut), (b"\0\1\2\3", b""))  # a SyntaxError of Pillow, while it decodes


@pytest.mark.parametrize(
    "content",
    [
        b"", b"not an image", b"\x89PNG broken", broken_checksum(),
        png(4, 4, (b"IDAT", b"not zlib"), (b"IEND", b"")), png(4, 4), broken_chunk(),
        png(40_000, 40_000, (b"IDAT", b"")), png(0, 0, (b"IDAT", b"")),
        b"II*\x00\xff\xff\xff\x7f", b"RIFF\x04\x00\x00\x00WEBP",
    ],
    ids=["empty", "text", "cut", "checksum", "no zlib", "no data", "chunk", "bomb", "no pixels", "tiff", "webp"],
)  # fmt: skip
def test_damage_of_whatever_kind_names_the_file(tmp_path, content):
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(BadInput, match=r"picture\.png.*remove or replace"):
            read_picture(path)


def test_a_decoder_that_fails_in_its_own_way_is_named_too(tmp_path, monkeypatch):
    path = saved(tmp_path, RAMP, "tif")

    def fails(self):
        raise struct.error("unpack requires a buffer")

    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "load", fails)
    with pytest.raises(BadInput, match=r"picture\.tif.*requires a buffer"):
        read_picture(path)


def deep_png(path, values, colour):
    """A PNG of 16 bits a channel, written here: Pillow writes none in colour; `colour` is the type in its header."""
    height, width = values.shape[:2]
    lines = values.astype(">u2").reshape(height, -1)
    data = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("colour, channels", [(2, 3), (6, 4), (4, 2)])
def test_sixteen_bit_colours_keep_their_high_byte_and_this_is_told(tmp_path, colour, channels):
    values = np.repeat(GREY_16[..., None], channels, 2)
    if channels != 3:
        values[..., -1] = 65535  # opaque
    pixels, changes = read_picture(deep_png(tmp_path / "deep.png", values, colour))
    assert all(np.array_equal(channel, RAMP) for channel in pixels)
    assert changes == ("cut from 16 to 8 bits a channel (the high byte)",)


def test_deep_colours_of_a_ppm_are_scaled_and_told_and_shallow_ones_need_no_word(tmp_path):
    values = np.array([[[0, 1023, 512]]], ">u2")
    deep = tmp_path / "deep.ppm"
    deep.write_bytes(b"P6 1 1 1023\n" + values.tobytes())
    pixels, changes = read_picture(deep)
    assert pixels.ravel().tolist() == [0, 255, 128] and changes == ("scaled from 0..1023 to 0..255 a channel",)
    colour = np.repeat(RAMP[..., None], 3, 2)
    for suffix in ("ppm", "png", "bmp", "tif"):
        assert read_picture(saved(tmp_path, colour, suffix)).changes == ()
