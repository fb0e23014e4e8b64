"""Loss landscapes: each value is a metric of two images, and the measures are those of known functions."""

import csv
import json
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from raygrad.cli import app
from raygrad.data import load_example_ct
from raygrad.drr import DRR
from raygrad.landscape import Landscape, PoseParameters, Slice, compute_landscape, measure_slice
from raygrad.metrics import MultiscaleNormalizedCrossCorrelation2d, NormalizedCrossCorrelation2d
from raygrad.pose import RigidTransform, convert, find_parameterization
from raygrad.visualization import plot_landscape, plot_landscape_maps, plot_landscape_profiles, plot_profile

ROTATION, TRANSLATION = torch.tensor([[0.1, -0.2, 0.05]]), torch.tensor([[3.0, 850.0, -5.0]])


@pytest.fixture(scope="module")
def drr():
    return DRR(load_example_ct(shape=(64, 64, 33)), sdd=1020.0, height=24, delx=16.0)


@pytest.fixture(scope="module")
def seeds_landscape(drr):
    """The six slices at a coarse resolution."""
    return compute_landscape(drr, torch.zeros(1, 3), torch.tensor([[0.0, 850.0, 0.0]]), convention="ZYX", steps=5)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def tabulate(function, *axes):
    """A slice of a known function."""
    axes = tuple(np.asarray(axis, dtype=float) for axis in axes)
    names = ("x", "y")[: len(axes)]
    return Slice(names, ("mm",) * len(axes), axes, np.asarray(function(*np.meshgrid(*axes, indexing="ij"))))


# --- values


@pytest.mark.parametrize(
    ("parameterization", "convention", "first", "degrees"),
    [
        ("euler_angles", "ZXY", "beta", False),
        ("euler_angles", "ZYX", "gamma", True),
        ("axis_angle", None, "rz", True),
        ("se3_log_map", None, "rx", True),
        ("quaternion", None, "qy", False),
        ("rotation_6d", None, "r4", False),
    ],
)
def test_every_value_is_minus_the_metric_of_two_images(drr, parameterization, convention, first, degrees):
    metric = NormalizedCrossCorrelation2d()
    pose = convert(ROTATION, TRANSLATION, parameterization="euler_angles", convention="ZXY")
    options = {"parameterization": parameterization, "convention": convention}
    landscape = compute_landscape(
        drr,
        pose,
        **options,
        degrees=degrees,
        slices=[(first, "y")],
        ranges={first: (-0.1, 0.3), "y": [-4.0, 1.0]},
        steps=3,
        metric=metric,
    )
    rotation, translation = pose.convert(**options)
    scale = torch.pi / 180 if degrees else 1.0
    index = landscape.truth.index(first)
    piece = landscape[first, "y"]
    assert piece.units == (
        "degrees" if degrees else "" if parameterization in ("quaternion", "rotation_6d") else "rad",
        "mm",
    )
    np.testing.assert_allclose(piece.deviations[0], [-0.1, 0.1, 0.3], atol=1e-12)
    np.testing.assert_array_equal(piece.deviations[1], [-4.0, 1.0])
    for (i, j), loss in np.ndenumerate(piece.loss):
        turned, shifted = rotation.clone(), translation.clone()
        turned[0, index] += piece.deviations[0][i] * scale
        shifted[0, 1] += piece.deviations[1][j]
        expected = -metric(drr(pose), drr(turned, shifted, **options)).item()
        assert loss == pytest.approx(expected, abs=2e-5)


def test_rotation_and_translation_mean_what_they_mean_to_the_drr(drr):
    degrees = torch.rad2deg(ROTATION)
    given = [
        compute_landscape(drr, ROTATION, TRANSLATION, convention="ZXY", slices=["alpha"], ranges={"alpha": np.pi / 6}),
        compute_landscape(
            drr, degrees, TRANSLATION, convention="ZXY", degrees=True, slices=["alpha"], ranges={"alpha": 30}
        ),
    ]
    np.testing.assert_allclose(given[0]["alpha"].loss, given[1]["alpha"].loss, atol=1e-5)
    assert given[0].loss_at_truth == given[0]["alpha"].loss[7] == pytest.approx(-1, abs=1e-3)
    assert given[0]["alpha"].deviations[0][7] == 0


def test_a_profile_is_a_line_of_a_pair_whatever_the_batch(drr):
    options = {"convention": "ZXY", "ranges": {"x": 20, "z": 8}, "steps": 5}
    both = compute_landscape(drr, ROTATION, TRANSLATION, **options, slices=[("x", "z"), "z"], batch_size=4)
    alone = compute_landscape(drr, ROTATION, TRANSLATION, **options, slices=["z"], batch_size=1)
    np.testing.assert_allclose(both["x", "z"].profile("z").loss, both["z"].loss, atol=1e-6)
    np.testing.assert_allclose(alone["z"].loss, both["z"].loss, atol=1e-6)
    assert both.profile("z") is not both["z"]
    np.testing.assert_array_equal(both.profile("z").loss, both["z"].loss)
    assert both["x", "z"].loss.shape == (5, 5)
    assert both.names == ("x", "z")


def test_a_given_xray_has_its_minimum_where_it_was_taken(drr):
    pose = convert(ROTATION, TRANSLATION, parameterization="euler_angles", convention="ZXY")
    moved = convert(
        ROTATION, TRANSLATION + torch.tensor([[4.0, 0.0, 0.0]]), parameterization="euler_angles", convention="ZXY"
    )
    xray = drr(moved)
    for shape in ((24, 24), (1, 1, 24, 24)):
        landscape = compute_landscape(
            drr, pose, convention="ZXY", slices=["x"], ranges={"x": 8}, steps=9, xray=xray.reshape(shape).double()
        )
        assert measure_slice(landscape["x"]).minimum == (4.0,)
        assert landscape.loss_at_truth == pytest.approx(landscape["x"].loss[4])
        assert landscape.loss_at_truth > -0.999


def test_any_function_of_two_images_is_a_metric(drr):
    def minus_mse(fixed, moving):
        assert fixed.shape == (1, 1, 24, 24)
        return -(fixed - moving).square().mean(dim=(1, 2, 3))

    landscape = compute_landscape(drr, ROTATION, TRANSLATION, convention="ZXY", slices=["y"], steps=3, metric=minus_mse)
    assert landscape.metric == "minus_mse"
    assert landscape.loss_at_truth == 0
    assert (landscape["y"].loss[[0, 2]] > 0).all()


def test_no_graph_is_kept_and_the_bar_counts_the_images(drr, capsys):
    drr.density.requires_grad_()
    compute_landscape(drr, ROTATION, TRANSLATION, convention="ZXY", slices=["x"], steps=3, progress=True)
    drr.density.requires_grad_(False)
    assert "3/3" in capsys.readouterr().err


def test_the_default_is_the_seeds_study(seeds_landscape):
    assert [piece.names for piece in seeds_landscape.slices] == [
        ("x", "y"),
        ("x", "z"),
        ("y", "z"),
        ("alpha", "beta"),
        ("alpha", "gamma"),
        ("beta", "gamma"),
    ]
    assert seeds_landscape["x", "y"].deviations[0].tolist() == [-15, -7.5, 0, 7.5, 15]
    np.testing.assert_allclose(seeds_landscape["beta", "gamma"].deviations[0][-1], np.pi / 4)
    np.testing.assert_allclose(seeds_landscape["beta", "gamma"].deviations[1][-1], np.pi / 8)
    assert seeds_landscape.flattest("mm") == "y"
    assert seeds_landscape.flattest("degrees") is None
    for piece in seeds_landscape.slices:
        measures = measure_slice(piece)
        assert measures.minimum == (0.0, 0.0)
        assert measures.is_convex
        assert measures.basin_share == 1.0


def test_the_default_metric_is_that_of_the_seeds(drr):
    given = MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5])
    first, second = (
        compute_landscape(drr, ROTATION, TRANSLATION, convention="ZXY", slices=["x"], metric=metric)["x"].loss
        for metric in (None, given)
    )
    np.testing.assert_array_equal(first, second)


# --- measures

EVEN = np.arange(-15.0, 16.0, 2.0)  # the seeds' steps, which miss the truth
ODD = np.linspace(-10, 10, 11)


@pytest.mark.parametrize("axes", [(EVEN, ODD), (ODD, np.array([-6.0, -5.0, -3.0, -1.0, 0.0, 2.0, 3.0, 7.0]))])
def test_measures_of_a_quadratic(axes):
    measures = measure_slice(tabulate(lambda x, y: 3 * (x - 0.5) ** 2 + (x - 0.5) * (y + 0.2) + (y + 0.2) ** 2, *axes))
    np.testing.assert_allclose(measures.hessian, [[6, 1], [1, 2]], atol=1e-9)
    np.testing.assert_allclose(measures.vertex, (0.5, -0.2), atol=1e-9)
    assert measures.is_convex
    assert measures.convex_share == measures.basin_share == 1.0
    for reach, values in zip(measures.convex, axes, strict=True):
        assert reach == (values[1], values[-2], True, True)
    for reach, values in zip(measures.basin, axes, strict=True):
        assert reach == (values[0], values[-1], True, True)
    assert abs(measures.flattest_direction[1]) > abs(measures.flattest_direction[0])


def test_a_saddle_is_not_convex():
    measures = measure_slice(tabulate(lambda x, y: x**2 + y**2 + 3 * x * y, ODD, ODD))
    assert not measures.is_convex
    assert measures.convex_share == 0
    assert str(measures.convex[0]) == "nowhere"
    np.testing.assert_allclose(measures.hessian, [[2, 3], [3, 2]])


def test_a_cosine_is_convex_as_far_as_a_quarter_and_leads_as_far_as_a_half():
    x = np.linspace(-10, 10, 201)
    measures = measure_slice(tabulate(lambda x: -np.cos(x), x))
    assert measures.minimum == (pytest.approx(0, abs=1e-12),)
    assert measures.hessian[0, 0] == pytest.approx(1, abs=0.02)
    (convex,), (basin,) = measures.convex, measures.basin
    assert (convex.low, convex.high) == pytest.approx((-np.pi / 2, np.pi / 2), abs=0.1)
    assert (basin.low, basin.high) == pytest.approx((-np.pi, np.pi), abs=0.1)
    assert not any(end for reach in (convex, basin) for end in reach[2:])
    assert measures.basin_share == pytest.approx(2 * np.pi / 20, abs=0.01)
    where_positive = np.cos(x[1:-1]) > 0
    assert measures.convex_share == pytest.approx(where_positive.mean(), abs=0.01)


def test_two_wells_share_the_grid():
    measures = measure_slice(tabulate(lambda x, y: np.minimum((x + 5) ** 2 + 1, (x - 5) ** 2) + y**2, ODD, ODD))
    assert measures.minimum in [(4.0, 0.0), (6.0, 0.0)]
    assert measures.basin[0].low >= 0
    assert measures.basin[0][3]
    assert measures.basin_share == pytest.approx(5.5 / 11, abs=1 / 11)


def test_a_plateau_is_no_way_down():
    measures = measure_slice(tabulate(lambda x: np.minimum(x**2, 16.0), ODD))
    assert measures.basin[0] == (-4, 4, False, False)
    assert measures.basin_share == 5 / 11


def test_values_that_are_missing_count_as_high():
    loss = ODD[:, None] ** 2 + ODD**2
    loss[0, :] = loss[-3:, :] = np.nan
    measures = measure_slice(Slice(("x", "y"), ("mm", "mm"), (ODD, ODD), loss))
    assert measures.minimum == (0.0, 0.0)
    assert measures.basin[0] == (-10, 6, True, False)  # from infinity it is downhill
    with pytest.raises(ValueError, match="finite"):
        measure_slice(Slice(("x",), ("mm",), (ODD,), np.full(11, np.nan)))


def test_two_values_have_no_curvature(drr):
    measures = measure_slice(tabulate(lambda x: x**2, [-1.0, 1.0]))
    assert np.isnan(measures.hessian).all()
    assert np.isnan(measures.flattest_direction).all()
    assert not measures.is_convex
    landscape = compute_landscape(drr, ROTATION, TRANSLATION, convention="ZXY", slices=[("x", "y")], steps=2)
    assert landscape.flattest("mm") is None
    assert "x (mm)" in landscape.summary()


def test_curvature_is_per_degree_for_radians_too(drr):
    options = {"convention": "ZXY", "slices": ["gamma"], "steps": 5}
    radians = compute_landscape(drr, ROTATION, TRANSLATION, **options, ranges={"gamma": np.pi / 18})
    degrees = compute_landscape(
        drr, torch.rad2deg(ROTATION), TRANSLATION, **options, ranges={"gamma": 10}, degrees=True
    )
    assert radians.curvature("gamma") == pytest.approx(degrees.curvature("gamma"), rel=1e-2)


def test_the_summary_names_what_is_flattest(seeds_landscape):
    text = seeds_landscape.summary()
    assert "150 images" in text
    assert "flattest in mm: y, " in text
    assert "α (rad)" in text
    assert all(f"{first}, {second}" in text for first, second in ("xy", "xz", "yz", "αβ", "αγ", "βγ"))


# --- files


def test_npz_holds_everything(seeds_landscape, tmp_path):
    seeds_landscape.save(tmp_path / "a.npz")
    loaded = Landscape.load(tmp_path / "a.npz")
    assert loaded.summary() == seeds_landscape.summary()
    assert (loaded.truth.parameterization, loaded.truth.convention, loaded.truth.degrees) == (
        "euler_angles",
        "ZYX",
        False,
    )
    torch.testing.assert_close(loaded.truth.values, seeds_landscape.truth.values)
    for piece, other in zip(loaded.slices, seeds_landscape.slices, strict=True):
        assert (piece.names, piece.units) == (other.names, other.units)
        np.testing.assert_array_equal(piece.loss, other.loss)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_csv_has_a_row_for_every_image(drr, tmp_path):
    landscape = compute_landscape(drr, ROTATION, TRANSLATION, convention="ZXY", slices=[("x", "z"), "beta"], steps=3)
    landscape.save(tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert (rows[5]["name_1"], rows[5]["deviation_1"], rows[5]["name_2"], rows[5]["unit_2"]) == ("x", "0", "z", "mm")
    assert float(rows[5]["deviation_2"]) == 15
    assert float(rows[5]["loss"]) == pytest.approx(landscape["x", "z"].loss[1, 2], rel=1e-6)
    assert (rows[11]["slice"], rows[11]["name_1"], rows[11]["unit_1"], rows[11]["name_2"]) == ("1", "beta", "rad", "")


def test_files_that_say_degrees_of_quaternions_are_read(seeds_landscape, tmp_path):
    quaternion = PoseParameters(torch.tensor([1.0, 0, 0, 0, 0, 850, 0]).double(), "quaternion", None, True)
    replace(seeds_landscape, truth=quaternion).save(tmp_path / "a.npz")  # as the command wrote them once
    truth = Landscape.load(tmp_path / "a.npz").truth
    assert truth.to_poses(truth.values[None]).matrix[0, 1, 3] == 850


def test_files_are_written_whole_or_not_at_all(seeds_landscape, tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("yesterday's")

    def fail_half_way(self, path):
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(Landscape, "_write_csv", fail_half_way)
    with pytest.raises(OSError, match="disk full"):
        seeds_landscape.save(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "yesterday's"
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError, match=r"\.npz, \.csv, \.txt"):
        seeds_landscape.save(tmp_path / "a.json")


def test_other_npz_files_are_refused(tmp_path):
    np.savez(tmp_path / "b.npz", about=np.array(json.dumps({"slices": []})))
    with pytest.raises(ValueError, match="lacks"):
        Landscape.load(tmp_path / "b.npz")
    with pytest.raises(OSError, match="none"):
        Landscape.load(tmp_path / "none.npz")


# --- mistakes

MISTAKES = {
    "unknown parameter": ({"slices": ["w"]}, ValueError, "alpha, beta, gamma, x, y, z. Got 'w'"),
    "unknown in ranges": ({"ranges": {"w": 3}}, ValueError, "Got 'w'"),
    "same twice": ({"slices": [("x", "x")]}, ValueError, "different"),
    "three": ({"slices": [("x", "y", "z")]}, ValueError, "one parameter or of two"),
    "no slices": ({"slices": []}, ValueError, "at least one slice"),
    "slice twice": ({"slices": ["x", "x"]}, ValueError, "each once"),
    "text": ({"slices": "xy"}, TypeError, "sequence"),
    "no steps": ({"steps": 0}, ValueError, "2 steps. Got 0"),
    "range not finite": ({"ranges": {"x": float("nan")}}, ValueError, "range of x"),
    "range negative": ({"ranges": {"x": -3}}, ValueError, "range of x"),
    "range without extent": ({"ranges": {"x": (2, 2)}}, ValueError, "range of x"),
    "tuple of three": ({"ranges": {"x": (1, 2, 3)}}, ValueError, "tuple of its two ends"),
    "not increasing": ({"ranges": {"x": torch.tensor([0.0, 2.0, 1.0])}}, ValueError, "increasing"),
    "X-ray of another shape": ({"xray": torch.zeros(24, 23)}, ValueError, r"\(24, 24\).*Got \(24, 23\)"),
    "X-ray of integers": ({"xray": torch.zeros(24, 24, dtype=torch.int32)}, TypeError, "int32"),
    "X-ray not finite": ({"xray": torch.full((24, 24), torch.nan)}, ValueError, "finite"),
    "scalar metric": ({"metric": lambda a, b: (a - b).mean()}, ValueError, r"shape \(1,\). Got shape \(\)"),
    "metric not finite": ({"metric": lambda a, b: torch.full([len(b)], torch.nan)}, ValueError, "finite at the true"),
    "no batch": ({"batch_size": 0}, ValueError, "batch size"),
    "matrix": ({"parameterization": "matrix", "convention": None}, ValueError, "'matrix'"),
    "convention": ({"convention": "ABC"}, ValueError, "ABC"),
    "degrees": ({"parameterization": "quaternion", "degrees": True}, ValueError, "angles.*'quaternion'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told(drr, mistake):
    arguments, error, message = MISTAKES[mistake]
    with pytest.raises(error, match=message):
        compute_landscape(drr, ROTATION, TRANSLATION, **({"convention": "ZXY", "steps": 3} | arguments))


def test_poses_that_are_not_one_are_told(drr):
    with pytest.raises(ValueError, match=r"one pose\. Got 2"):
        compute_landscape(drr, RigidTransform(torch.eye(4).repeat(2, 1, 1)), convention="ZXY")
    with pytest.raises(TypeError, match="Got nothing"):
        compute_landscape(drr, convention="ZXY")
    with pytest.raises(ValueError, match="finite"):
        compute_landscape(drr, ROTATION, TRANSLATION * torch.nan, convention="ZXY")
    rays = DRR(drr.subject, sdd=1020.0, height=24, delx=16.0, reshape=False)
    with pytest.raises(ValueError, match="reshape=False"):
        compute_landscape(rays, ROTATION, TRANSLATION, convention="ZXY")


def test_parameters_of_a_pose_lead_back_to_it():
    pose = convert(ROTATION, TRANSLATION, parameterization="euler_angles", convention="ZXY")
    for name in ("euler_angles", "axis_angle", "se3_log_map", "quaternion", "quaternion_adjugate", "rotation_10d"):
        degrees = find_parameterization(name).has_angles
        parameters = PoseParameters.of(pose, parameterization=name, convention="ZXY", degrees=degrees)
        assert len(parameters.names) == len(parameters.values)
        back = parameters.to_poses(parameters.values[None])
        torch.testing.assert_close(back.matrix.float(), pose.matrix, atol=1e-4, rtol=0)


# --- plots


def test_surfaces_and_maps_have_a_panel_for_every_pair(seeds_landscape):
    figure = plot_landscape(seeds_landscape)
    assert [axes.get_xlabel() for axes in figure.axes[:4]] == ["Δx (mm)", "Δx (mm)", "Δy (mm)", "Δα (rad)"]
    bottoms = {axes.get_zlim()[0] for axes in figure.axes}
    assert bottoms == {min(piece.loss.min() for piece in seeds_landscape.slices)}
    assert len({axes.get_zlim() for axes in figure.axes}) == 2
    maps = plot_landscape_maps(seeds_landscape)
    pictures = [axes for axes in maps.axes if axes.get_xlabel()]
    assert len(pictures) == 6
    drawn = np.asarray(pictures[0].collections[0].get_array()).reshape(5, 5)
    np.testing.assert_array_equal(drawn, seeds_landscape["x", "y"].loss.T)


def test_profiles_share_axes_by_unit(seeds_landscape):
    angles, lengths = plot_landscape_profiles(seeds_landscape).axes
    assert [text.get_text() for text in angles.get_legend().get_texts()] == ["α", "β", "γ"]
    assert [text.get_text() for text in lengths.get_legend().get_texts()] == ["x", "y", "z"]
    np.testing.assert_array_equal(lengths.lines[0].get_ydata(), seeds_landscape.profile("x").loss)


def test_plots_of_what_is_not_there_are_refused(drr, seeds_landscape):
    alone = compute_landscape(drr, ROTATION, TRANSLATION, convention="ZXY", slices=["x"], steps=3)
    for plot in (plot_landscape, plot_landscape_maps):
        with pytest.raises(ValueError, match="profiles only"):
            plot(alone)
    plot_landscape_profiles(alone)
    with pytest.raises(ValueError, match="one parameter"):
        plot_profile(seeds_landscape.slices[0], plt.figure().add_subplot())
    with pytest.raises(ValueError, match="Got 'x'"):
        seeds_landscape["y", "z"].profile("x")
    with pytest.raises(KeyError):
        seeds_landscape["z"]


# --- command


@pytest.fixture
def command(drr, monkeypatch):
    monkeypatch.setattr("raygrad.cli._loading.load_example_ct", lambda *_, **__: drr.subject)

    def run(*arguments):
        return CliRunner().invoke(app, ["landscape", "example", "--height", "24", "--delx", "16", *map(str, arguments)])

    return run


def test_the_command_writes_its_files_and_prints_the_measures(command, tmp_path):
    folder = tmp_path / "new"
    result = command("-o", folder, "--steps", 3, "--pairs", "x,y alpha,x", "--parameters", "z", "--ranges", "x=30")
    assert result.exit_code == 0, result.output
    names = {"landscape.npz", "landscape.csv", "landscape.txt", "landscape.png", "landscape_maps.png"}
    assert {path.name for path in folder.iterdir()} == names | {"landscape_profiles.png"}
    landscape = Landscape.load(folder / "landscape.npz")
    assert [piece.names for piece in landscape.slices] == [("x", "y"), ("alpha", "x"), ("z",)]
    assert landscape["x", "y"].deviations[0].tolist() == [-30, 0, 30]
    assert landscape.truth.degrees
    assert landscape.summary() in result.output
    assert (folder / "landscape.txt").read_text(encoding="utf-8").strip() == landscape.summary()


def test_the_command_compares_with_an_xray(command, drr, tmp_path):
    import SimpleITK as sitk

    pose = convert(
        torch.zeros(1, 3), torch.tensor([[5.0, 850.0, 0.0]]), parameterization="euler_angles", convention="ZXY"
    )
    sitk.WriteImage(sitk.GetImageFromArray(drr(pose)[0, 0].numpy()), str(tmp_path / "xray.tif"))
    result = command(
        "-o", tmp_path, "--parameters", "x", "--steps", 7, "--xray", tmp_path / "xray.tif", "--metric", "ncc"
    )
    assert result.exit_code == 0, result.output
    assert measure_slice(Landscape.load(tmp_path / "landscape.npz")["x"]).minimum == (5.0,)
    assert not (tmp_path / "landscape.png").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--pairs", "x"], "--pairs"),
        (["--pairs", "x,w"], "Got 'w'"),
        (["--parameters", " "], "name no parameter"),
        (["--ranges", "x"], "--ranges"),
        (["--ranges", "x=1:2:3"], "--ranges"),
        (["--ranges", "x=far"], "far"),
        (["--steps", "1"], "2 steps"),
        (["--metric", "best"], "--metric"),
        (["--xray", "nowhere.tif"], "nowhere.tif"),
        (["--batch-size", "0"], "batch size"),
        (["--parameterization", "gibbs"], "gibbs"),
    ],
)
def test_mistakes_of_the_command_are_one_sentence(command, tmp_path, arguments, reason):
    result = command("-o", tmp_path / "out", *arguments)
    assert result.exit_code == 2, result.output
    assert result.output.startswith("raygrad: ")
    assert reason in result.output
    assert len(result.output.strip().splitlines()) == 1
