"""DICOM files as pydicom writes them."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from competition.errors import DataError
from competition.images import Picture, read_image
from competition.spec_parts import Pixels

pydicom = pytest.importorskip("pydicom")

STORED = np.arange(60, dtype=np.uint16).reshape(6, 10) * 50


def dataset(stored: np.ndarray = STORED, **elements) -> "pydicom.Dataset":
    """A secondary capture of grey 16-bit or colour 8-bit values."""
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    file.SOPInstanceUID = "1.2.3"
    file.Rows, file.Columns = stored.shape[:2]
    file.BitsAllocated = file.BitsStored = 8 * stored.itemsize
    file.HighBit, file.PixelRepresentation = file.BitsStored - 1, int(stored.dtype.kind == "i")
    file.SamplesPerPixel = 3 if stored.ndim == 3 else 1
    file.PhotometricInterpretation = "RGB" if stored.ndim == 3 else "MONOCHROME2"
    if stored.ndim == 3:
        file.PlanarConfiguration = 0
    for name, value in elements.items():
        setattr(file, name, value)
    file.PixelData = stored.tobytes()
    return file


def written(folder: Path, file: "pydicom.Dataset", **pixels) -> Picture:
    path = folder / "slice.png"  # the name says nothing
    file.save_as(path, enforce_file_format=True)
    return Picture((path,), None, Pixels(**pixels))


def grey(folder: Path, file: "pydicom.Dataset", **pixels) -> np.ndarray:
    return read_image(written(folder, file, **pixels), 1)[:, :, 0]


def between(values: np.ndarray, black: float, white: float) -> np.ndarray:
    return np.rint((values.astype(float) - black) / (white - black) * 255).clip(0, 255)


def test_without_a_window_the_least_value_is_black_and_the_greatest_white(tmp_path):
    assert (grey(tmp_path, dataset()) == between(STORED, 0, 2950)).all()
    assert (grey(tmp_path, dataset(PhotometricInterpretation="MONOCHROME1")) == 255 - between(STORED, 0, 2950)).all()


def test_the_window_of_the_file_applies_to_rescaled_values(tmp_path):
    # PS3.3 C.11.2.1.2.1: values up to 40 - 0.5 - 399/2 are black, those above 40 - 0.5 + 399/2 white.
    ct = {"RescaleSlope": 2, "RescaleIntercept": -1024, "WindowCenter": [40, 300], "WindowWidth": [400, 1500]}
    expected = between(STORED * 2.0 - 1024, -160, 239)
    assert (grey(tmp_path, dataset(**ct)) == expected).all()
    assert (grey(tmp_path, dataset(**ct), window=(0, 101)) == between(STORED * 2.0 - 1024, -50.5, 49.5)).all()
    assert (grey(tmp_path, dataset(**ct), range=(-1000, 1000)) == between(STORED * 2.0 - 1024, -1000, 1000)).all()
    signed = dataset(STORED.astype(np.int16) - 1000, WindowCenter=0, WindowWidth=400, VOILUTFunction="LINEAR_EXACT")
    assert (grey(tmp_path, signed) == between(STORED - 1000.0, -200, 200)).all()


def test_a_sigmoid_and_a_lookup_table(tmp_path):
    sigmoid = dataset(WindowCenter=1000, WindowWidth=500, VOILUTFunction="SIGMOID")
    expected = 255 / (1 + np.exp(-4 * (STORED - 1000.0) / 500))
    assert np.abs(grey(tmp_path, sigmoid) - expected).max() <= 0.5
    item = pydicom.Dataset()
    item.LUTDescriptor, item.LUTData = [2951, 0, 12], list(np.linspace(4095, 0, 2951).round().astype(int))
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    table = dataset(VOILUTSequence=[item], WindowCenter=1, WindowWidth=1)
    assert np.abs(grey(tmp_path, table) - (255 - between(STORED, 0, 2950))).max() <= 1


def test_colours_and_the_first_frame(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8)
    assert (read_image(written(tmp_path, dataset(colour))) == colour).all()
    frames = dataset()
    frames.NumberOfFrames, frames.PixelData = 2, STORED.tobytes() + STORED[::-1].tobytes()
    assert (grey(tmp_path, frames) == between(STORED, 0, 2950)).all()


def test_run_length_and_jpeg_2000_pixels(tmp_path):
    compressed = dataset()
    compressed.compress(pydicom.uid.RLELossless)
    assert (grey(tmp_path, compressed) == between(STORED, 0, 2950)).all()
    from PIL import Image

    file, jpeg2000 = io.BytesIO(), dataset()
    Image.fromarray(STORED).save(file, "JPEG2000", no_jp2=True)
    jpeg2000.PixelData = pydicom.encaps.encapsulate([file.getvalue()])
    jpeg2000["PixelData"].is_undefined_length = True
    jpeg2000.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
    assert (grey(tmp_path, jpeg2000) == between(STORED, 0, 2950)).all()


def test_a_missing_decoder_is_named(tmp_path, monkeypatch):
    lossless = dataset()
    lossless.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
    lossless["PixelData"].is_undefined_length = True
    lossless.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
    picture = written(tmp_path, lossless)
    decoder = pydicom.pixels.get_decoder(pydicom.uid.JPEGLosslessSV1)
    monkeypatch.setattr(decoder, "_available", {})  # where pylibjpeg happens to be installed
    with pytest.raises(DataError, match=r"slice\.png: its pixels are stored as JPEG Lossless.*requirements-dicom"):
        read_image(picture)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(DataError, match=r"slice\.png is a DICOM file: pip install -r requirements-dicom"):
        read_image(picture)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.95, 0.999])
def test_a_cut_file_is_refused(tmp_path, share):
    picture = written(tmp_path, dataset())
    encoded = picture.path.read_bytes()
    picture.path.write_bytes(encoded[: max(140, int(share * len(encoded)))])
    with pytest.raises(DataError, match=r"slice\.png: not a whole DICOM image"):
        read_image(picture)


def test_planes_of_a_dicom_image_are_stacked(tmp_path):
    one = written(tmp_path, dataset()).path
    two = one.rename(tmp_path / "two")
    picture = Picture((written(tmp_path, dataset(STORED[::-1])).path, two))
    assert (read_image(picture)[:, :, 0] == read_image(picture)[::-1, :, 1]).all()
