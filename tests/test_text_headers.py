"""MetaImage and NRRD headers that lie are refused before ITK, which some of them end, and honest ones are not."""

import numpy as np
import pytest
import SimpleITK as sitk

from raygrad._text_headers import check_text_header

IMAGE = sitk.GetImageFromArray(np.random.default_rng(0).integers(-1000, 1000, (4, 5, 6)).astype(np.int16))
IMAGE.SetSpacing((0.5, 2.0, 3.0))


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd", "a.nhdr"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "kind", [sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkUInt32, sitk.sitkInt64, sitk.sitkFloat64, sitk.sitkVectorFloat32]
)
def test_honest_files_are_let_through(tmp_path, name, compressed, kind):
    sitk.WriteImage(sitk.Cast(IMAGE, kind), str(tmp_path / name), useCompression=compressed)
    check_text_header(tmp_path / name)


def test_other_honest_files(tmp_path):
    sitk.WriteImage(IMAGE[:, :, 0], str(tmp_path / "flat.mha"))
    check_text_header(tmp_path / "flat.mha")
    sitk.WriteImage(IMAGE, str(tmp_path / "a.mhd"))
    header = (tmp_path / "a.mhd").read_text()
    (tmp_path / "a b:c.raw").write_bytes((tmp_path / "a.raw").read_bytes())
    for value in ("a b:c.raw", "slice%02d.raw 1 4 1", "LIST"):
        (tmp_path / "b.mhd").write_text(header.replace("a.raw", value))
        check_text_header(tmp_path / "b.mhd")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    check_text_header(tmp_path / "picture.png")


META = [
    ("NDims = 3", "NDims = -1", "NDims"),
    ("NDims = 3", "NDims = 65536", "NDims"),
    ("NDims = 3", "NDims = 3\nNDims = 3", "twice"),
    ("DimSize = 6 5 4", "DimSize = 6 5", "2 numbers for 3"),
    ("DimSize = 6 5 4", "DimSize = 6 5 0", "DimSize"),
    ("DimSize = 6 5 4", "DimSize = 6 5 40", "2400 bytes of values are needed, 240 are there"),
    ("DimSize = 6 5 4", "DimSize = 600000 600000 600000", "values"),
    ("TransformMatrix = 1 0 0 0 1", "TransformMatrix = 1 0 0 0 1e308", "TransformMatrix"),
    ("ElementSpacing = 0.5", "ElementSpacing = nan", "ElementSpacing"),
    ("ElementSpacing = 0.5", "ElementSpacing = 0", "ElementSpacing"),
    ("Offset = 0", "Offset = inf", "Offset"),
    ("LOCAL", "%s%s%s 0 7 1", "ElementDataFile"),
    ("LOCAL", "s%d.raw 0 7 0", "ElementDataFile"),
    ("LOCAL", "s%d.raw 7 0 1", "ElementDataFile"),
    ("LOCAL", "LO", "not there"),
    ("ElementDataFile", "ElementData", "no ElementDataFile"),
]


@pytest.mark.parametrize(("honest", "lie", "words"), META)
def test_metaimages_that_lie(tmp_path, honest, lie, words):
    path = tmp_path / "a.mha"
    sitk.WriteImage(IMAGE, str(path))
    content = path.read_bytes()
    assert content.count(honest.encode()) == 1
    path.write_bytes(content.replace(honest.encode(), lie.encode()))
    with pytest.raises(ValueError, match=words):
        check_text_header(path)


def test_compressed_values_that_are_too_few(tmp_path):
    path = tmp_path / "a.mha"
    sitk.WriteImage(IMAGE, str(path), useCompression=True)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"DimSize = 6 5 4", b"DimSize = 6 5 5"))
    with pytest.raises(ValueError, match="300 bytes of values are needed, 240 are there"):
        check_text_header(path)
    path.write_bytes(content[:-40])
    with pytest.raises(ValueError, match="240 bytes of values are needed"):
        check_text_header(path)
    path.write_bytes(content[:-60] + bytes(60))
    with pytest.raises(ValueError, match="damaged"):
        check_text_header(path)


@pytest.mark.parametrize(
    ("honest", "lie", "words"),
    [
        ("dimension: 3", "dimension: 3000", "dimension"),
        ("sizes: 6 5 4", "sizes: 6 5", "2 numbers for 3"),
        ("sizes: 6 5 4", "sizes: 6 5 40", "2400 bytes of values are needed, 240 are there"),
        ("(0.5,0,0)", "(1e300,0,0)", "space directions"),
        ("(0.5,0,0)", "(0,0,0)", "a step of space directions is 0 mm"),
        ("(0.5,0,0)", "(nan,0,0)", "space directions"),
        ("space origin: (0", "space origin: (1e99", "space origin"),
        ("type: short", "type: short\n" + "k:=v\n" * 20_000 + "k:=v", "20000 lines"),
    ],
)
def test_nrrds_that_lie(tmp_path, honest, lie, words):
    path = tmp_path / "a.nrrd"
    sitk.WriteImage(IMAGE, str(path), useCompression=False)
    content = path.read_bytes()
    assert content.count(honest.encode()) == 1
    path.write_bytes(content.replace(honest.encode(), lie.encode()))
    with pytest.raises(ValueError, match=words):
        check_text_header(path)
