"""The documents that users bring from DiffDRR run on raygrad, and what they say is true.

Nothing is changed in their cells but the package's name and sizes. The examples, which are the same programs, run too.
"""

import itertools
import runpy
from pathlib import Path

import pytest
import seed_documents as documents
import torch
from matplotlib import pyplot as plt

import raygrad.data
from raygrad.kernels import available_backends

SMALL_CT = {"load_example_ct()": "load_example_ct(shape=(64, 64, 40))"}
SMALL_DETECTOR = {"height=200": "height=50", "delx=2.0": "delx=8.0"}
# Steps that have the true pose on the grid.
COARSE_GRID = {
    "16.0, step=2": "16.0, step=5",
    "4, step=0.05": "4, step=torch.pi / 16",
    "8, step=0.05": "8, step=torch.pi / 32",
}

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(
        not available_backends()["cpu"][0], reason="the compiled kernels are missing, and the reference takes minutes"
    ),
]


def run(cells, cuts):
    """Execute cells in one namespace, each cut made wherever it applies and at least once."""
    namespace = {"__name__": "document"}
    unused = set(cuts)
    for cell in cells:
        code = cell.replace("diffdrr", "raygrad")
        for size, smaller in cuts.items():
            unused -= {size} if size in code else set()
            code = code.replace(size, smaller)
        exec(compile(code, "<document>", "exec"), namespace)
    assert not unused
    return namespace


@pytest.fixture(scope="module")
def quiet_show():
    """`plt.show()` without a screen: the picture is thrown away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "show", lambda: plt.close("all"))
        yield


@pytest.fixture(scope="module")
def landscape(quiet_show):
    cells = [documents.LANDSCAPE_SETUP, documents.LANDSCAPE_GET_METRIC, documents.LANDSCAPE_SLICES]
    return run(cells, SMALL_CT | SMALL_DETECTOR | COARSE_GRID)


@pytest.fixture(scope="module")
def reconstruction(quiet_show):
    cells = [documents.RECONSTRUCTION_TARGET, documents.RECONSTRUCTION_MODULE, documents.RECONSTRUCTION_OPTIMIZE]
    return run(cells, SMALL_CT | SMALL_DETECTOR)


SLICES = {
    "XY": ("xs", "ys"),
    "XZ": ("xs", "zs"),
    "YZ": ("ys", "zs"),
    "TP": ("a_angles", "b_angles"),
    "TG": ("a_angles", "g_angles"),
    "PG": ("b_angles", "g_angles"),
}


def neighbours(index, shape):
    for step in itertools.product((-1, 0, 1), repeat=2):
        moved = (index[0] + step[0], index[1] + step[1])
        if step != (0, 0) and 0 <= moved[0] < shape[0] and 0 <= moved[1] < shape[1]:
            yield moved


@pytest.mark.parametrize("name", SLICES)
def test_the_landscape_has_its_one_minimum_at_the_true_pose(landscape, name):
    loss = landscape[name]
    truth = tuple(int(landscape[axis].abs().argmin()) for axis in SLICES[name])
    assert loss[truth] == pytest.approx(-1.0, abs=1e-3)
    minima = [
        index
        for index in itertools.product(*map(range, loss.shape))
        if all(loss[index] <= loss[other] for other in neighbours(index, loss.shape))
    ]
    assert minima == [truth]


@pytest.mark.parametrize("name", SLICES)
def test_the_landscape_is_convex_around_the_true_pose(landscape, name):
    loss = landscape[name]
    row, column = (int(landscape[axis].abs().argmin()) for axis in SLICES[name])
    for down, right in [(0, 1), (1, 0), (1, 1), (1, -1)]:
        before, here, after = (loss[row + k * down, column + k * right] for k in (-1, 0, 1))
        assert before + after - 2 * here > 0, (name, down, right)


def test_the_landscape_is_flattest_along_depth(landscape):
    def rise(slice_name, axis, millimetres):
        """How far the loss rises on both sides of the true pose, along the first or second axis of a slice."""
        loss = landscape[slice_name] if axis == 0 else landscape[slice_name].T
        first, second = (landscape[name] for name in (SLICES[slice_name][axis], SLICES[slice_name][1 - axis]))
        line = loss[:, int(second.abs().argmin())]
        return (line[first.abs() == millimetres] + 1).mean().item()

    for millimetres in (5.0, 10.0, 15.0):
        depth = rise("XY", 1, millimetres)
        assert depth == pytest.approx(rise("YZ", 0, millimetres))
        assert 0 < 3 * depth < min(rise("XY", 0, millimetres), rise("XZ", 1, millimetres))


def test_one_view_is_fitted_in_a_hundred_iterations(reconstruction):
    losses = reconstruction["losses"]
    assert len(losses) == 101
    assert losses[0] > 100 * losses[-1]


def measure_misfit(namespace):
    """Root mean square difference of the fitted volume's image from the X-ray, as a share of the X-ray's range."""
    drr, recon, pose = namespace["drr"], namespace["recon"], namespace["pose"]
    first = drr(torch.zeros(1, 3), torch.tensor([[0.0, 850.0, 0.0]]), parameterization="euler_angles", convention="ZXY")
    with torch.no_grad():
        xray = (drr(pose) - first.min()) / (first.max() - first.min())
        return (recon(pose) - xray).square().mean().sqrt().item()


@pytest.mark.parametrize("cell", [documents.RECONSTRUCTION_CLOSER, documents.RECONSTRUCTION_TURNED])
def test_another_view_of_the_fitted_volume_is_visibly_wrong(reconstruction, cell):
    fitted = measure_misfit(reconstruction)
    namespace = dict(reconstruction)
    exec(compile(cell, "<document>", "exec"), namespace)
    wrong = measure_misfit(namespace)
    assert wrong > 0.02  # of black to white, on average over the whole image
    assert wrong > 10 * fitted


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_the_fitted_volume_is_not_the_ct(reconstruction):
    namespace = dict(reconstruction)
    # The document hands matplotlib tensors, of which some versions of numpy warn.
    exec(compile(documents.RECONSTRUCTION_SLICES.replace("133", "40"), "<document>", "exec"), namespace)
    fitted, ct = namespace["recon"].density.detach(), namespace["drr"].density
    correlation = torch.corrcoef(torch.stack([fitted.flatten(), ct.flatten()]))[0, 1]
    assert correlation < 0.5


@pytest.mark.parametrize(
    ("example", "arguments", "pictures"),
    [
        ("registration_landscape", "--coarse", {"landscape_target.png", "landscape.png"}),
        (
            "reconstruction",
            "--height 40 --delx 10 --iterations 3",
            {"reconstruction_views.png", "reconstruction_slices.png"},
        ),
        (
            "sweep_reconstruction",
            "--views 1 6 --height 20 --spacing 16 --iterations 3",
            {"sweep_reconstruction.png"},
        ),
    ],
)
def test_the_examples_draw_their_pictures(monkeypatch, tmp_path, capsys, example, arguments, pictures):
    small_ct = raygrad.data.load_example_ct(shape=(64, 64, 40))
    monkeypatch.setattr(raygrad.data, "load_example_ct", lambda: small_ct)
    monkeypatch.setattr("sys.argv", [example, *arguments.split(), "--out", str(tmp_path)])
    runpy.run_path(str(Path(__file__).parents[1] / "examples" / f"{example}.py"), run_name="__main__")
    plt.close("all")
    assert {path.name for path in tmp_path.iterdir()} == pictures
    assert str(tmp_path) in capsys.readouterr().out
