"""Formats are picked by suffix and by content, and adding one takes one registration."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from radiographs import PIXELS, save_radiograph

from raygrad.formats import (
    DICOM,
    GEOMETRIES,
    IMAGES,
    NIFTI,
    NUMPY,
    PNG,
    POSE_JSON,
    PROJECTION_MATRICES,
    RTK,
    TIFF,
    Format,
    Formats,
    GeometryFormat,
    ImageFormat,
    InputError,
    Pixels,
    beside,
    has_centred_world,
    read_geometry,
    read_stack,
    read_xray,
    write_geometry,
    write_image,
    write_stack,
)
from raygrad.formats._fiducials import _SUFFIXES as FIDUCIALS
from raygrad.formats._itk_transforms import _SUFFIXES as TRANSFORMS
from raygrad.geometry.trajectories import circular

VIEWS = circular(3, sdd=600.0, sid=400.0, height=4, width=5, delx=2.0)


def starting_with(text):
    return lambda path: path.read_bytes().startswith(text)


@pytest.fixture
def drinks():
    known = Formats("drink")
    for name, suffixes in (("tea", (".cup", ".pot")), ("coffee", (".cup",)), ("water", (".glass",)), ("air", ())):
        known.add(Format(name, suffixes, starting_with(name.encode())))
    return known


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.pot", "tea", "tea"),
        ("a.CUP", "coffee", "coffee"),  # one suffix, two formats
        ("a.glass", "coffee", "coffee"),  # the suffix lies
        ("a", "tea", "tea"),
        ("a.x", "air", "air"),
        ("a.glass", "petrol", "water"),  # whose reader can say what is wrong with it
    ],
)
def test_the_suffix_counts_and_then_the_content(drinks, tmp_path, name, content, expected):
    (tmp_path / name).write_text(content)
    assert drinks.of(tmp_path / name).name == expected


@pytest.mark.parametrize("name", ["a.cup", "a.x"])
def test_files_of_no_format_are_refused_with_all_that_are_known(drinks, tmp_path, name):
    (tmp_path / name).write_text("petrol")
    known = r"as drink one of tea \(.cup, .pot\), coffee \(.cup\), water \(.glass\), air\. Got "
    with pytest.raises(InputError, match=f"{known}'.*{name}'"):
        drinks.of(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no drink"):
        drinks.of(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="'tea' again"):
        drinks.add(Format("tea", (), starting_with(b"")))


def test_geometry_is_told_by_its_content(tmp_path):
    write_geometry(tmp_path / "ours.json", VIEWS)
    shutil.copy(tmp_path / "ours.json", tmp_path / "ours.txt")
    (tmp_path / "matrices.json").write_text(json.dumps({"matrices": []}))
    (tmp_path / "rtk.json").write_text("<RTKThreeDCircularGeometry/>")
    (tmp_path / "rtk.xml").write_text("<RTKThreeDCircularGeometry><Projection/></RTKThreeDCircularGeometry>")
    np.save(tmp_path / "matrices.npy", np.zeros((1, 3, 4)))
    shutil.copy(tmp_path / "matrices.npy", tmp_path / "matrices.dat")
    expected = {"ours.json": POSE_JSON, "ours.txt": POSE_JSON, "rtk.json": RTK, "rtk.xml": RTK}
    expected |= dict.fromkeys(("matrices.json", "matrices.npy", "matrices.dat"), PROJECTION_MATRICES)
    for name, kind in expected.items():
        assert GEOMETRIES.of(tmp_path / name) is kind
        assert has_centred_world(tmp_path / name) == (kind is POSE_JSON)
    assert read_geometry(tmp_path / "ours.txt") == read_geometry(str(tmp_path / "ours.json"))
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match=r"projection matrices .*broken\.json', which is none of these"):
        read_geometry(tmp_path / "broken.json")


def test_images_are_told_by_their_content(tmp_path):
    picture = sitk.GetImageFromArray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    for suffix in ("png", "tif", "nii", "bmp"):
        sitk.WriteImage(picture, str(tmp_path / f"a.{suffix}"))
    shutil.copy(tmp_path / "a.png", tmp_path / "png.tif")
    save_radiograph(tmp_path / "1.2.840.1")
    save_radiograph(tmp_path / "dicom.png")
    np.save(tmp_path / "a.npy", np.zeros((3, 4)))
    expected = {"a.png": PNG, "png.tif": PNG, "a.tif": TIFF, "a.nii": NIFTI, "a.npy": NUMPY}
    expected |= {"1.2.840.1": DICOM, "dicom.png": DICOM}
    for name, kind in expected.items():
        assert IMAGES.of(tmp_path / name) is kind
    np.testing.assert_array_equal(read_xray(tmp_path / "a.bmp").pixels, np.arange(12).reshape(3, 4))
    np.testing.assert_array_equal(read_xray(str(tmp_path / "dicom.png")).pixels, PIXELS)
    (tmp_path / "a.txt").write_text("none")
    with pytest.raises(InputError, match=r"X-ray one of .*DICOM .*PNG .*a\.txt"):
        read_xray(tmp_path / "a.txt")
    (tmp_path / "text.png").write_text("none")
    with pytest.raises(InputError, match="damaged"):
        read_xray(tmp_path / "text.png")


def test_a_new_geometry_is_one_registration(tmp_path, monkeypatch):
    monkeypatch.setattr(GEOMETRIES, "_known", list(GEOMETRIES))
    read = []

    def write(path, views, names):
        path.write_text(f"circle {len(views)}")

    def read_circle(path, frames):
        read.append(frames)
        return VIEWS

    GEOMETRIES.add(GeometryFormat("circles", (".circle",), starting_with(b"circle"), read_circle, write))
    write_geometry(tmp_path / "a.circle", VIEWS)
    assert (tmp_path / "a.circle").read_text() == "circle 3"
    assert read_geometry(tmp_path / "a.circle") is VIEWS
    assert read == [None]
    assert not has_centred_world(tmp_path / "a.circle")
    with pytest.raises(InputError, match=r"ends in .*\.json.*, \.circle"):
        write_geometry(tmp_path / "a.stl", VIEWS)
    GEOMETRIES.add(GeometryFormat("wheels", (".circle",), starting_with(b"wheel"), read_circle, write))
    with pytest.raises(
        InputError, match=r"kind as one of 'circles', 'wheels', which all are written to \.circle files"
    ):
        write_geometry(tmp_path / "a.circle", VIEWS)
    write_geometry(tmp_path / "b.circle", VIEWS, kind="wheels")
    assert (tmp_path / "b.circle").exists()


def test_a_new_image_format_is_one_registration(tmp_path, monkeypatch):
    monkeypatch.setattr(IMAGES, "_known", list(IMAGES))

    def write(path, images, spacing, origin):
        path.write_text(f"numbers {json.dumps([images.tolist(), spacing])}")

    def read(path):
        images, spacing = json.loads(path.read_text().removeprefix("numbers "))
        return Pixels(torch.tensor(images), tuple(spacing))

    IMAGES.add(ImageFormat("numbers", (".numbers",), starting_with(b"numbers"), read, write, (".numbers",)))
    images = torch.rand(3, 4, 5)
    write_stack(tmp_path / "a.numbers", images, (1.5, 2))
    stack = read_stack(tmp_path / "a.numbers")
    torch.testing.assert_close(stack.images, images)
    assert stack.frames.spacing == (1.5, 2.0)
    write_image(tmp_path / "b.numbers", images[0], (1.5, 2))
    torch.testing.assert_close(read_xray(tmp_path / "b.numbers").pixels, images[0])
    assert beside(tmp_path / "a.numbers", ".geometry.json") == tmp_path / "a.geometry.json"


def test_the_page_says_of_every_geometry_file_whether_it_is_read_and_written():
    text = (Path(__file__).parents[2] / "docs/files.md").read_text(encoding="utf-8")
    table = text[text.index("| format | read | written | not |") :].split("\n\n")[0].splitlines()[2:]
    cells = [re.split(r"(?<!\\)\|", row)[1:-1] for row in table]
    rows = [(re.findall(r"`(\.[^`]+)`", first), written.strip()) for first, _, written, _ in cells]
    for format in GEOMETRIES:
        fitting = [written for suffixes, written in rows if set(format.suffixes) == set(suffixes)]
        assert len(fitting) == 1, format
        assert (fitting[0] == "no") == (format.write is None), format
        if format.written_suffixes and format.written_suffixes != format.suffixes:
            assert re.findall(r"`(\.[^`]+)`", fitting[0]) == list(format.written_suffixes), format
    for suffixes in (FIDUCIALS, TRANSFORMS):
        assert any(set(suffixes) == set(of_row) for of_row, _ in rows), suffixes
    assert len(rows) == len(list(GEOMETRIES)) + 2
