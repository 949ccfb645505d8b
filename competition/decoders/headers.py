"""What the first bytes of a file say, before anything is decoded: format, size, whether the end is missing."""

import struct

LIMIT = 500_000_000  # pixels: a few kilobytes can claim more than any memory holds

_MAGIC = {
    b"\x89PNG": "png",
    b"\xff\xd8": "jpg",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"II*\0": "tif",
    b"MM\0*": "tif",
    b"II+\0": "tif",
    b"MM\0+": "tif",
    b"\x93NUMPY": "npy",
    b"PK\x03\x04": "npz",
}
_FOREIGN = {
    b"<": "an HTML or XML page",
    b"version https://git-lfs": "a Git LFS pointer: the image itself was never fetched",
    b"\x1f\x8b": "a gzip archive: unpack it",
    b"7z": "a 7z archive: unpack it",
    b"\xff\x0a": "a JPEG XL image: convert it to PNG",
    b"\0\0\0\x0cJXL": "a JPEG XL image: convert it to PNG",
}
WIDTH, HEIGHT, BITS, PHOTOMETRIC, EXTRA_SAMPLES, SAMPLE_FORMAT = 256, 257, 258, 262, 338, 339  # of TIFF 6.0


def format_of(encoded: bytes) -> str:
    """png, jpg, gif, bmp, tif, webp, npy, npz, dcm, or "" for what is left to OpenCV. 132 bytes are enough."""
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return "webp"
    if encoded[128:132] == b"DICM":
        return "dcm"
    return next((name for magic, name in _MAGIC.items() if encoded.startswith(magic)), "")


def foreign_format(encoded: bytes) -> str:
    """What a file that is not an image seems to be, in words; empty if nobody knows."""
    if encoded[4:8] == b"ftyp":
        brand = encoded[8:12].decode("latin-1")
        name = "AVIF" if brand.startswith("avi") else "HEIC" if brand[:3] in ("hei", "hev", "mif", "msf") else brand
        return f"an image or film in {name} format: convert it to PNG or JPEG"
    return next((words for magic, words in _FOREIGN.items() if encoded[:64].lstrip().startswith(magic)), "")


def size_of(encoded: bytes) -> tuple[int, int]:
    """(height, width) in pixels as the header has them; (0, 0) where it cannot be read or is always small."""
    try:
        match format_of(encoded):
            case "png":
                width, height = struct.unpack_from(">II", encoded, 16)
            case "jpg":
                height, width = _jpeg_size(encoded)
            case "gif":
                width, height = struct.unpack_from("<HH", encoded, 6)
            case "bmp":
                width, height = struct.unpack_from("<ii", encoded, 18)
            case "tif":
                tags = tiff_tags(encoded)
                width, height = tags.get(WIDTH, 0), tags.get(HEIGHT, 0)
            case _:
                return 0, 0
    except struct.error:
        return 0, 0
    return abs(height), abs(width)  # a BMP of negative height is stored from the top down


def tiff_tags(encoded: bytes) -> dict[int, int]:
    """The first value of every whole-number tag of a TIFF's first page (BigTIFF too); as many as can be read."""
    order = "<" if encoded[:1] == b"I" else ">"
    big = encoded[2:4] in (b"+\0", b"\0+")
    count_code, offset_code, inline = ("Q", "Q", 8) if big else ("H", "I", 4)
    tags = {}
    try:
        (at,) = struct.unpack_from(order + offset_code, encoded, 8 if big else 4)
        (count,) = struct.unpack_from(order + count_code, encoded, at)
        at += struct.calcsize(count_code)
        length = 4 + 2 * inline
        for entry in range(at, at + min(count, 1000) * length, length):
            tag, kind, values = struct.unpack_from(order + "HH" + offset_code, encoded, entry)
            code = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind)
            if code:
                place = entry + 4 + inline
                if values * struct.calcsize(code) > inline:
                    (place,) = struct.unpack_from(order + offset_code, encoded, place)
                (tags[tag],) = struct.unpack_from(order + code, encoded, place)
    except (struct.error, OverflowError):
        pass  # cut short or not a TIFF: the decoder will say so
    return tags


def cut_short(encoded: bytes) -> bool:
    """Whether the end of a PNG or JPEG is missing. OpenCV (4.11, 5.0) refuses such a file too, but does not say why."""
    match format_of(encoded):
        case "png":
            return b"IEND" not in encoded  # anywhere, because some programs append data of their own
        case "jpg":
            return b"\xff\xd9" not in encoded[-4096:]
    return False


def has_webp_exif(encoded: bytes) -> bool:
    return encoded[12:16] == b"VP8X" and len(encoded) > 20 and bool(encoded[20] & 0x08)


def _jpeg_size(encoded: bytes) -> tuple[int, int]:
    at = 2
    while True:
        start, marker, length = struct.unpack_from(">BBH", encoded, at)
        if start != 0xFF:
            return 0, 0
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame, not a table
            return struct.unpack_from(">HH", encoded, at + 5)
        at += 1 if marker == 0xFF else 2 + length
