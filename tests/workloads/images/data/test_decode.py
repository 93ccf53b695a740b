import struct
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from energybench.workloads.images.data.decode import BadImageError, NotReadError, rgb, rgb_square


def smooth(width: int, height: int) -> Image.Image:
    """A gradient in each channel, with a wave on it."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    wave = 127 + 100 * np.sin(x / 20) * np.cos(y / 30)
    return Image.fromarray(np.stack([x, y, wave], axis=2).astype(np.uint8))


def saved(image: Image.Image, path: Path, format: str = "PNG") -> str:
    image.save(path, format)
    return str(path)


def as_array(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError()])
def test_what_may_pass_is_not_the_images_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    path = saved(smooth(40, 30), tmp_path / "x.png")

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "convert", fail)
        patch.setattr("PIL.ImageFile.ImageFile.load", fail)
        for read in (rgb, lambda path: rgb_square(path, 16)):
            with pytest.raises(NotReadError):
                read(path)
    assert rgb(path).size == (40, 30)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "CMYK"])
def test_any_colour_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    image = smooth(40, 30)
    path = saved(image.convert(mode), tmp_path / "x", "JPEG" if mode == "CMYK" else "PNG")
    assert rgb(path).mode == "RGB"
    square = rgb_square(path, 16)
    assert square.shape == (3, 16, 16)
    assert square.dtype == np.uint8
    if mode in ("P", "RGBA", "CMYK"):
        assert np.abs(as_array(rgb(path)) - as_array(image)).mean() < 25
    else:
        assert np.array_equal(square[0], square[2])  # gray


def test_a_palette_with_transparency_is_read_without_a_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "x.png"
    smooth(40, 30).convert("P").save(path, transparency=bytes(range(256)))
    assert rgb(str(path)).mode == "RGB"
    assert not recwarn


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_of_sixteen_bits_the_upper_eight_count(tmp_path: Path, format: str) -> None:
    deep = (np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)
    found = rgb(saved(Image.fromarray(deep), tmp_path / "x", format))
    assert np.array_equal(as_array(found)[..., 0], deep >> 8)


def test_pixels_of_no_known_range_are_refused(tmp_path: Path) -> None:
    ones = np.ones((8, 8))
    for kind in (np.float32, np.int32):
        pixels = (300 * ones).astype(kind)
        path = saved(Image.fromarray(pixels), tmp_path / "x.tif", "TIFF")
        with pytest.raises(BadImageError, match=f"{np.dtype(kind)}, of no known range; save it"):
            rgb(path)


def test_sixteen_bits_of_which_all_would_be_black_are_refused(tmp_path: Path) -> None:
    for format in ("PNG", "TIFF"):
        pixels = np.full((8, 8), 255, np.uint16)
        path = saved(Image.fromarray(pixels), tmp_path / "x", format)
        with pytest.raises(BadImageError, match="at most 255 of 65535, all of them black"):
            rgb(path)
        path = saved(Image.fromarray(pixels * 0), tmp_path / "x", format)
        assert not as_array(rgb(path)).any()


def test_of_twelve_bits_the_upper_eight_count(tmp_path: Path) -> None:
    """A TIFF with two pixels in three bytes, as microscopes write it."""
    entries = {256: 4, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 6}
    pixels = int("FFF800400010", 16).to_bytes(6, "big")  # 4095, 2048, 1024, 16
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in entries.items())
    header = struct.pack("<2sHI", b"II", 42, 8 + 6)
    path = tmp_path / "x.tif"
    path.write_bytes(header + pixels + struct.pack("<H", len(entries)) + fields + bytes(4))
    assert as_array(rgb(str(path)))[0, :, 0].tolist() == [255, 128, 64, 1]


def test_a_librarys_warning_makes_no_image_bad(tmp_path: Path) -> None:
    """EXIF whose directory is cut off: Pillow warns while it looks into it."""
    path = tmp_path / "x.jpg"
    broken = b"Exif\0\0II*\0\x08\0\0\0\x20\0\x0f\x01\x02\0\x10\0\0\0\x90\x01\0\0"
    smooth(40, 30).save(path, exif=broken)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Image.open(path) as image:
            image.getexif().get_ifd(0x8769)
    assert caught, "Pillow no longer warns of this file"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rgb(str(path)).size == (40, 30)
        assert rgb_square(str(path), 16).shape == (3, 16, 16)


def test_the_name_does_not_matter_but_what_is_in_it(tmp_path: Path) -> None:
    assert rgb(saved(smooth(8, 8), tmp_path / "png-in-truth.jpg")).size == (8, 8)


@pytest.mark.parametrize("content", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\nshowpage\n"])
def test_what_is_no_image_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    for read in (rgb, lambda name: rgb_square(name, 8)):
        with pytest.raises(BadImageError, match="not an image"):
            read(str(path))


def test_a_format_that_would_start_a_program_is_not_opened(tmp_path: Path) -> None:
    path = saved(smooth(8, 8), tmp_path / "x.jpg", "EPS")
    with pytest.raises(BadImageError, match="not an image"):
        rgb(path)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_file_is_told_wherever_it_ends(tmp_path: Path, format: str) -> None:
    whole = BytesIO()
    smooth(64, 48).save(whole, format)
    path = tmp_path / "x"
    for length in range(0, len(whole.getvalue()) - 20, 97):
        path.write_bytes(whole.getvalue()[:length])
        with pytest.raises(BadImageError) as caught:
            rgb_square(str(path), 16)
        assert str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_decompression_bomb_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(smooth(50, 40), tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 999)  # of 2,000: twice that is a bomb
    with pytest.raises(BadImageError, match="decompression bomb"):
        rgb_square(path, 16)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotReadError, match="No such file"):
        rgb(str(tmp_path / "x.jpg"))


def test_the_square_is_the_centre_resized(tmp_path: Path) -> None:
    image = smooth(90, 60)
    square = rgb_square(saved(image, tmp_path / "x.png"), 30)
    expected = image.crop((15, 0, 75, 60)).resize((30, 30), Image.Resampling.BILINEAR)
    assert np.abs(square.transpose(1, 2, 0).astype(int) - as_array(expected)).max() <= 1


def test_a_large_jpeg_is_decoded_at_a_smaller_scale_and_looks_the_same(tmp_path: Path) -> None:
    image = smooth(1000, 800)
    path = tmp_path / "x.jpg"
    image.save(path, quality=95)
    square = rgb_square(str(path), 64)
    expected = image.crop((100, 0, 900, 800)).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.abs(square.transpose(1, 2, 0).astype(int) - as_array(expected)).mean() < 2


def test_an_image_of_any_shape_gives_a_square(tmp_path: Path) -> None:
    for width, height in ((1, 1), (1, 3000), (3000, 1), (5, 7)):
        path = saved(Image.new("RGB", (width, height), (10, 20, 30)), tmp_path / "x.png")
        assert np.array_equal(rgb_square(path, 8)[:, 3, 3], [10, 20, 30])


def test_exif_orientation_is_not_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    path = tmp_path / "x.jpg"
    smooth(40, 20).save(path, exif=exif)
    assert rgb(str(path)).size == (40, 20)
