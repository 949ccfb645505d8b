"""Every format is written by other programs than the one that reads it, under a name that says nothing."""

import io
import os
import shutil
import struct
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from competition.decoders.headers import tiff_tags
from competition.errors import DataError
from competition.images import Picture, fingerprint, fingerprints, in_threads, read_image, show_image
from competition.spec_parts import Pixels
from pipeline import config
from pipeline.cache import decoded

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 9, 3), np.uint8)
GREY = COLOUR[:, :, 0]
SMOOTH = np.kron(RNG.integers(0, 256, (2, 3, 3), np.uint8), np.ones((16, 16, 1), np.uint8))


def pillow(image: np.ndarray | Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def opencv(image: np.ndarray, kind: str) -> bytes:
    plain = [cv2.IMWRITE_TIFF_COMPRESSION, 1] if kind == ".tif" else []
    return cv2.imencode(kind, image[:, :, ::-1] if image.ndim == 3 else image, plain)[1].tobytes()


def numpy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def packed_numpy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, image=array)
    return file.getvalue()


@pytest.fixture
def picture(tmp_path):
    """Writes bytes to a file, and says where they are."""

    def write(encoded: bytes, name: str = "image", index: int | None = None, **pixels) -> Picture:
        (tmp_path / name).write_bytes(encoded)
        return Picture((tmp_path / name,), index, Pixels(**pixels))

    return write


@pytest.mark.parametrize(
    "encoded",
    [
        pillow(COLOUR, "PNG"),
        pillow(COLOUR, "BMP"),
        pillow(COLOUR, "TIFF"),
        pillow(COLOUR, "TIFF", compression="tiff_lzw"),
        pillow(COLOUR, "TIFF", save_all=True, append_images=[Image.fromarray(255 - COLOUR)]),
        pillow(COLOUR, "WEBP", lossless=True),
        pillow(Image.fromarray(COLOUR).quantize(256), "PNG"),
        pillow(Image.fromarray(COLOUR).quantize(256), "GIF", save_all=True, append_images=[Image.new("P", (9, 6))]),
        pillow(np.dstack([COLOUR, GREY // 2]), "PNG"),  # a transparent pixel has the colour it was stored with
        pillow(np.dstack([COLOUR, GREY // 2]), "TIFF"),
        opencv(COLOUR, ".ppm"),
        numpy(COLOUR),
        numpy(np.moveaxis(COLOUR, 2, 0)),
    ],
    ids=["png", "bmp", "tif", "lzw", "pages", "webp", "palette", "gif", "rgba", "rgba-tif", "ppm", "npy", "planes"],
)
def test_colours_are_read_exactly(picture, encoded):
    image = read_image(picture(encoded))
    assert image.dtype == np.uint8 and (image == COLOUR).all()
    grey = COLOUR @ [0.299, 0.587, 0.114]
    assert np.abs(read_image(picture(encoded), channels=1)[:, :, 0] - grey).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_colours_are_close(picture, kind):
    assert np.abs(read_image(picture(pillow(SMOOTH, kind, quality=95))).astype(int) - SMOOTH).mean() < 12


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_is_repeated(picture, mode, kind, channels):
    source = Image.fromarray(GREY).convert(mode)
    image = read_image(picture(pillow(source, kind)), channels)
    assert (image == np.asarray(source.convert("L"))[:, :, None]).all() and image.shape == (6, 9, channels)


SHOWN = {  # EXIF 2.3, tag Orientation: where the stored rows and columns belong
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", SHOWN)
def test_orientation_is_carried_out(picture, orientation, kind):
    exif = Image.Exif()
    exif[274] = orientation
    image = read_image(picture(pillow(SMOOTH, kind, exif=exif, quality=95)))
    expected = SHOWN[orientation](SMOOTH)
    assert image.shape == expected.shape and np.abs(image.astype(int) - expected).mean() < 12


DEEP = RNG.integers(0, 65536, (6, 9, 3), np.uint16)


@pytest.mark.parametrize("kind", [".png", ".tif"])
@pytest.mark.parametrize("deep", [DEEP, DEEP[:, :, 0]], ids=["colour", "grey"])
def test_sixteen_bits_are_scaled(picture, deep, kind):
    planes = deep.reshape(6, 9, -1) * np.ones(3)
    assert (read_image(picture(opencv(deep, kind))) == np.rint(planes / 257)).all()
    stretched = np.rint((planes - 1000) / 30000 * 255).clip(0, 255)
    assert np.abs(read_image(picture(opencv(deep, kind), range=(1000, 31000))) - stretched).max() <= 1


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 3)], ids=["grey", "colour"])
@pytest.mark.parametrize("kind", ["int16", "int32", "float32", "float64"])
def test_tiffs_of_other_numbers_use_the_range(picture, kind, shape):
    values = RNG.integers(-2000, 2000, shape).astype(kind)
    image = read_image(picture(opencv(values, ".tif"), range=(-1000, 1000)))
    expected = ((values.astype(float) + 1000) / 2000 * 255).clip(0, 255)
    assert np.abs(image - expected.reshape(6, 9, -1)).max() <= 0.51


def test_tiffs_where_zero_is_white_are_inverted(picture):
    encoded = opencv(DEEP[:, :, 0], ".tif")
    photometric = struct.pack("<HHI", 262, 3, 1)
    assert encoded.count(photometric + b"\1\0") == 1
    inverted = encoded.replace(photometric + b"\1\0", photometric + b"\0\0")
    assert (read_image(picture(inverted), 1) == 255 - read_image(picture(encoded), 1)).all()


@pytest.mark.parametrize("big", [b"", b"big"])
def test_the_tags_of_a_tiff_are_found(big):
    encoded = pillow(COLOUR, "TIFF", big_tiff=bool(big))
    tags = tiff_tags(encoded)
    assert (tags[256], tags[257], tags[258]) == (9, 6, 8)
    for cut in range(0, len(encoded), 7):
        tiff_tags(encoded[:cut])  # never fails


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_an_array_is_stretched_from_its_least_to_its_greatest_value(picture, dtype):
    values = np.linspace(-3, 5, 54).reshape(6, 9).astype(dtype)
    expected = np.rint((values.astype(float) + 3) / 8 * 255)
    assert np.abs(read_image(picture(numpy(values)), 1)[:, :, 0] - expected).max() <= 1
    assert not read_image(picture(numpy(np.full((6, 9), 0.5, dtype)))).any()
    halved = read_image(picture(numpy(values), range=(-3, 13)), 1)
    assert halved.min() == 0 and halved.max() == 128


def test_booleans_and_small_integers_use_their_whole_type(picture):
    assert (read_image(picture(numpy(GREY > 99)), 1)[:, :, 0] == np.where(GREY > 99, 255, 0)).all()
    assert read_image(picture(numpy(np.array([[-128, 127]], np.int8))), 1).ravel().tolist() == [0, 255]
    assert read_image(picture(numpy(np.array([[-32768, 32767]], np.int16))), 1).ravel().tolist() == [0, 255]


def test_planes_are_chosen_and_laid_out(picture):
    planes = RNG.integers(0, 256, (6, 30, 20), np.uint8)
    encoded = numpy(planes)
    assert (read_image(picture(encoded)) == np.moveaxis(planes, 0, 2)).all()  # six channels, whatever was asked
    assert (read_image(picture(encoded, planes=(4, 0, 2))) == np.moveaxis(planes[[4, 0, 2]], 0, 2)).all()
    rows = read_image(picture(encoded, planes=(0, 2, 4), layout="rows"), 1)
    assert (rows[:, :, 0] == np.concatenate([planes[0], planes[2], planes[4]])).all()
    two = read_image(picture(encoded, planes=(0, 1)))
    assert (two[:, :, :2] == np.moveaxis(planes[:2], 0, 2)).all()
    assert (two[:, :, 2] == np.rint((planes[0].astype(float) + planes[1]) / 2)).all()
    assert (read_image(picture(pillow(COLOUR, "PNG"), planes=(1,)), 1) == COLOUR[:, :, 1:2]).all()
    shown = show_image(picture(encoded))
    assert shown.shape == (30, 20, 3) and np.abs(shown[:, :, 1] - planes.mean(axis=0)).max() <= 0.5


def test_an_archive_of_one_array(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "one.npz", image=COLOUR)
    assert (read_image(Picture((tmp_path / "one.npz",))) == COLOUR).all()
    np.savez(tmp_path / "two.npz", a=COLOUR, b=COLOUR)
    with pytest.raises(DataError, match=r"two\.npz: an archive of a, b"):
        read_image(Picture((tmp_path / "two.npz",)))
    monkeypatch.setattr("competition.decoders.arrays.LIMIT", 10)
    with pytest.raises(DataError, match=r"one\.npz: \d+ bytes, unpacked, are too many"):
        read_image(Picture((tmp_path / "one.npz",)))


def test_many_images_of_one_array(picture):
    images = RNG.integers(0, 256, (300, 5, 4, 3), np.uint8)
    whole = picture(numpy(images))
    pictures = [Picture(whole.files, i) for i in range(300)]
    assert (np.stack(list(in_threads(read_image, pictures))) == images).all()
    whole.path.write_bytes(numpy(255 - images[:7]))  # another file of the same name is opened anew
    assert (read_image(pictures[6]) == 255 - images[6]).all()
    with pytest.raises(DataError, match="no image number 7"):
        read_image(pictures[7])
    with pytest.raises(DataError, match="array, so it has no image number 0"):
        read_image(picture(pillow(COLOUR, "PNG"), index=0))


def test_several_files_are_the_channels_of_one_image(picture):
    grey = RNG.integers(0, 256, (4, 6, 9), np.uint8)
    files = tuple(picture(pillow(each, "PNG"), f"{i}.png").path for i, each in enumerate(grey))
    assert (read_image(Picture(files)) == np.moveaxis(grey, 0, 2)).all()
    assert (read_image(Picture(files[:3])) == np.moveaxis(grey[:3], 0, 2)).all()
    assert (read_image(Picture(files[:2]))[:, :, :2] == np.moveaxis(grey[:2], 0, 2)).all()
    assert (read_image(Picture(files), 1) == np.moveaxis(grey, 0, 2)).all()
    picture(pillow(SMOOTH, "PNG"), "1.png")
    with pytest.raises(DataError, match=r"1\.png is 32×48, .*0\.png is 6×9"):
        read_image(Picture(files))


WHOLE = {
    "png": pillow(SMOOTH, "PNG"),
    "deep png": opencv(np.kron(DEEP, np.ones((8, 8, 1), np.uint16)), ".png"),
    "jpg": pillow(SMOOTH, "JPEG"),
    "progressive": pillow(SMOOTH, "JPEG", progressive=True),
    "webp": pillow(SMOOTH, "WEBP"),
    "turned webp": pillow(SMOOTH, "WEBP", exif=Image.Exif()),
    "gif": pillow(SMOOTH, "GIF"),
    "bmp": pillow(SMOOTH, "BMP"),
    "tif": pillow(SMOOTH, "TIFF"),
    "lzw": pillow(SMOOTH, "TIFF", compression="tiff_lzw"),
    "float": opencv(SMOOTH.astype(np.float32), ".tif"),
    "npy": numpy(SMOOTH),
    "npz": packed_numpy(SMOOTH),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_that_is_cut_short_is_refused(picture, kind):
    read_image(picture(WHOLE[kind]))
    for share in (0, 0.02, 0.3, 0.6, 0.95):
        name = f"cut{share}"
        reason = "the image is empty or cut short" if kind in ("png", "jpg", "progressive") and share > 0.1 else ""
        with pytest.raises(DataError, match=f"{name}: {reason}"):
            read_image(picture(WHOLE[kind][: int(share * len(WHOLE[kind]))], name))


@pytest.mark.parametrize("kind", WHOLE)
def test_damaged_bytes_never_escape_as_anything_but_a_data_error(picture, kind):
    rng = np.random.default_rng(1)
    for _ in range(15):
        damaged = bytearray(WHOLE[kind])
        for place in rng.integers(40, len(damaged), 8):
            damaged[place] = rng.integers(0, 256)
        with suppress(DataError):
            assert read_image(picture(bytes(damaged))).dtype == np.uint8


def claims(width: int, height: int) -> dict[str, bytes]:
    """Small files whose headers say something else."""
    png, jpg, gif, bmp, tif = (bytearray(pillow(COLOUR, kind)) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF"))
    struct.pack_into(">II", png, 16, width, height)
    struct.pack_into(">HH", jpg, jpg.index(b"\xff\xc0") + 5, height, width)
    struct.pack_into("<HH", gif, 6, width, height)
    struct.pack_into("<ii", bmp, 18, width, -height)
    for tag, value in ((256, width), (257, height)):
        place = tif.index(struct.pack("<H", tag) + b"\4\0\1\0\0\0")
        struct.pack_into("<I", tif, place + 8, value)
    return {"png": bytes(png), "jpg": bytes(jpg), "gif": bytes(gif), "bmp": bytes(bmp), "tif": bytes(tif)}


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "bmp", "tif"])
def test_a_header_that_claims_too_much_is_refused(picture, kind):
    with pytest.raises(DataError, match=r"60000×50000 pixels is too large"):
        read_image(picture(claims(50000, 60000)[kind]))


@pytest.mark.parametrize(
    "encoded, message",
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "an HTML or XML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "a Git LFS pointer"),
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1heic", "HEIC format: convert it to PNG or JPEG"),
        (b"hello", "not an image that OpenCV can decode"),
        (numpy(np.array([[1.0, np.nan]])), "1 of its values are NaN"),
        (numpy(np.array([[1.0, np.inf]])), "infinite; set pixels.range"),
        (numpy(np.array([[7, 4000]])), r"int64 numbers from 7 to 4000: .*range"),
        (numpy(np.array([["a"]])), "not pixels"),
        (numpy(np.zeros((2, 3, 4, 5))), r"shape \(2, 3, 4, 5\) is not one image"),
        (numpy(np.zeros((0, 3))), "is not one image"),
    ],
)
def test_what_is_not_an_image_is_named(picture, encoded, message):
    with pytest.raises(DataError, match=f"image: .*{message}"):
        read_image(picture(encoded))


def test_pickles_are_never_loaded(picture):
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="plain numbers"):
        read_image(picture(file.getvalue()))


def test_missing_planes_and_files_are_named(picture, tmp_path):
    with pytest.raises(DataError, match=r"image: pixels.planes asks for plane 3; it has 0…2"):
        read_image(picture(numpy(COLOUR), planes=(0, 3)))
    with pytest.raises(DataError, match="nothing: cannot be read: No such file"):
        read_image(Picture((tmp_path / "nothing",)))


def test_the_fingerprint_is_of_pixels_not_of_bytes(picture):
    same = [picture(pillow(COLOUR, kind), kind) for kind in ("PNG", "BMP", "TIFF")]
    other = picture(pillow(COLOUR[::-1], "PNG"), "other")
    prints = fingerprints([*same, other], "some")
    assert len(set(prints[:3])) == 1 and prints[3] != prints[0] == fingerprint(COLOUR)


def test_the_cache_follows_every_setting(picture, tmp_path):
    images = RNG.integers(0, 256, (3, 12, 20, 30), np.uint8)  # three images of twelve planes
    path = picture(numpy(images)).path
    folder = tmp_path / "cache"

    def cached(index: int = 0, size: tuple[int, int] | None = None, **pixels) -> np.ndarray:
        pictures = [Picture((path,), i, Pixels(**pixels)) for i in (index, 2)]
        return decoded(pictures, config.Image(size=size), folder, "train")

    assert (cached() == np.moveaxis(images[[0, 2]], 1, 3)).all()
    assert (cached(1) == np.moveaxis(images[[1, 2]], 1, 3)).all()
    assert (cached(planes=(5,))[..., 1] == images[[0, 2], 5]).all()
    assert cached(range=(0, 100)).max() == 255 and cached(size=(10, 15)).shape == (2, 10, 15, 12)
    assert len(list(folder.glob("*.npy"))) == 5
    cached(1)
    assert len(list(folder.glob("*.npy"))) == 5
    path.write_bytes(numpy(images[:, :, :, 1:]))
    assert cached().shape == (2, 20, 29, 12)


def test_the_cache_is_of_contents_and_unchanged_files_are_not_read_again(picture, tmp_path):
    folder, first, second = tmp_path / "cache", numpy(COLOUR), numpy(255 - COLOUR)

    def cached(name: str) -> tuple[bool, int]:
        """Whether the images are those of `first`, and how many caches there are."""
        pixels = decoded([Picture((tmp_path / name,))], config.Image(), folder, "train")
        return bool((pixels[0] == COLOUR).all()), len(list(folder.glob("*.npy")))

    path = picture(first, "a").path
    assert cached("a") == (True, 1)
    picture(first, "copy")
    os.utime(path, (1, 1))
    assert cached("copy") == cached("a") == (True, 1)
    path.write_bytes(second)
    os.utime(path, (1, 1))  # the same size and time: taken for the same
    assert cached("a") == (True, 1)
    os.utime(path)
    assert cached("a") == (False, 2)
    for seen in folder.glob("*.seen"):
        seen.write_bytes(b"\xff")
    assert cached("copy") == (True, 2)


def test_images_that_do_not_fit_together_are_named(picture, tmp_path):
    colour, deep = picture(numpy(COLOUR), "a"), picture(numpy(np.zeros((6, 9, 5), np.uint8)), "b")
    with pytest.raises(DataError, match=r"b has 5 planes, .*a has 3: .*pixels\.planes"):
        decoded([colour, deep], config.Image(), tmp_path / "cache", "train")
    with pytest.raises(DataError, match=r"c is 32×48, .*a is 6×9: set image\.size"):
        decoded([colour, picture(numpy(SMOOTH), "c")], config.Image(), tmp_path / "cache", "train")
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".lock"}


def test_images_that_would_not_fit_on_the_disk_stop_before_it_is_full(picture, tmp_path, monkeypatch):
    large = picture(numpy(np.zeros((300, 600, 3), np.uint8)), "a")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=539_999))
    with pytest.raises(DataError, match=r"of 300×600 need 0\.0 GB.* --set 'image\.size=\[128,256\]', or point"):
        decoded([large], config.Image(), tmp_path / "cache", "train")
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".lock"}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=540_000))
    assert decoded([large], config.Image(), tmp_path / "cache", "train").shape == (1, 300, 600, 3)


DECODES = """
import sys
from pathlib import Path
from competition.images import Picture
from pipeline import cache, config

def read(*picture):
    if not decoded:
        print("decoding", flush=True)
        sys.stdin.readline()
    decoded.append(picture)
    return read_image(*picture)

decoded, read_image, cache.read_image = [], cache.read_image, read
pixels = cache.decoded([Picture((Path(path),)) for path in sys.argv[2:]], config.Image(), Path(sys.argv[1]), "train")
print(len(decoded), pixels.sum())
"""


@pytest.mark.parametrize("killed", [False, True])
def test_one_process_decodes_and_another_waits_for_it(killed, picture, tmp_path):
    images = [picture(numpy(np.full((4, 4, 3), value, np.uint8)), f"{value}") for value in (1, 2)]
    link = tmp_path / "cache"
    link.symlink_to(tmp_path / "disk of this machine")
    command = [sys.executable, "-c", DECODES, link, *(image.path for image in images)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, stdin=subprocess.PIPE, **pipes) as first:
        assert first.stdout.readline() == "decoding\n"
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, **pipes) as second:
            assert "another process decodes the train images" in second.stderr.readline()
            if killed:
                first.kill()
            first.communicate()
            said, _ = second.communicate()
    assert said.split()[-2:] == (["2", "144"] if killed else ["0", "144"])
    assert len(list((tmp_path / "disk of this machine").glob("train-*.npy"))) == 1
