"""Pictures of a registration: agreement is grey, disagreement has a colour, and the trace is drawn as it is."""

from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from PIL import Image

from raygrad.data import Subject, Volume
from raygrad.drr import DRR
from raygrad.pose import RigidTransform, convert
from raygrad.registration import Iteration, RegistrationResult, Status
from raygrad.visualization import (
    animate,
    plot_convergence,
    plot_difference,
    plot_overlay,
    render_registered,
    save_registration,
)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def drr():
    hu = np.full((12, 12, 12), -1000, dtype=np.int16)
    hu[2:10, 3:9, 2:8] = 50
    hu[3:6, 3:9, 4:7] = 900
    affine = np.diag([10.0, 10.0, 10.0, 1.0])
    affine[:3, 3] = -55.0
    return DRR(Subject(Volume(hu, affine)), sdd=1000.0, height=20, width=30, delx=8.0, renderer="joseph")


def make_pose(angle, depth=800.0):
    rotation, translation = torch.tensor([[angle, 0.0, 0.0]]), torch.tensor([[0.0, depth, 0.0]])
    return convert(rotation, translation, parameterization="euler_angles", convention="ZXY", degrees=True)


def make_result(n_iterations=6, views=1):
    """Two starts that halve their angle in each iteration, over two stages; the second one is the better."""
    trace = []
    for k in range(n_iterations):
        matrix = torch.cat([make_pose(20.0 * 0.5**k).matrix, make_pose(-40.0 * 0.5**k).matrix])
        score = torch.tensor([0.5, 0.6]) + 0.05 * k
        trace.append(Iteration(k % 4, 0.1 * k, int(k >= 4), (10, 15), RigidTransform(matrix), score))
    last = trace[-1]
    quarter = make_pose(90.0).matrix
    poses = (last.pose, *(RigidTransform(last.pose.matrix @ quarter) for _ in range(views - 1)))
    return RegistrationResult(poses, last.score, (Status.CONVERGED,) * 2, tuple(trace), 0.6)


def pictures(ax):
    return [np.asarray(image.get_array()) for image in ax.get_images()]


def test_overlay_is_grey_where_the_images_agree_and_coloured_where_not():
    xray = torch.rand(1, 1, 9, 7)
    (ax,) = plot_overlay(3 * xray + 5, xray, title="alike")  # another scale and offset are no difference
    (picture,) = pictures(ax)
    assert picture.shape == (9, 7, 3)
    assert np.ptp(picture, axis=2).max() < 1e-6
    assert picture.min() == 0
    assert picture.max() == pytest.approx(1.0, abs=1e-6)
    assert ax.get_xlabel() == "alike"

    rendered = xray.clone()
    rendered[0, 0, 4, 3], rendered[0, 0, 5, 3] = 0.0, 1.0
    xray[0, 0, 4, 3], xray[0, 0, 5, 3] = 1.0, 0.0
    (picture,) = pictures(plot_overlay(xray, rendered)[0])
    red, _, blue = np.moveaxis(picture, -1, 0)
    assert red[4, 3] > blue[4, 3] + 0.5  # the X-ray's colour is warm
    assert blue[5, 3] > red[5, 3] + 0.5


def test_checkerboard_takes_tiles_in_turn():
    xray, rendered = torch.rand(2, 1, 8, 12), torch.rand(1, 1, 8, 12)
    for ax, image in zip(plot_overlay(xray, rendered, style="checkerboard", tiles=4), xray, strict=True):
        (picture,) = pictures(ax)
        low, high = np.quantile(image.numpy(), (0.01, 0.995))
        expected = ((image[0].numpy() - low) / (high - low)).clip(0, 1)
        np.testing.assert_allclose(picture[:2, :2, 0], expected[:2, :2], atol=1e-5)
        np.testing.assert_allclose(picture[2:4, 2:4, 1], expected[2:4, 2:4], atol=1e-5)
        assert np.abs(picture[:2, 2:4, 0] - expected[:2, 2:4]).max() > 0.05


def test_difference_ignores_scale_and_offset_and_has_the_sign_of_the_xray():
    xray = torch.rand(1, 1, 9, 7)
    rendered = xray.clone()
    rendered[0, 0, 2, 2] -= 3
    axs = plot_difference(torch.cat([xray, xray]), torch.cat([2 * xray - 1, rendered]), title=["same", "other"])
    same, other = (pictures(ax)[0] for ax in axs)
    assert np.abs(same).max() < 1e-5
    assert other.argmax() == 2 * 7 + 2
    assert other[2, 2] > 1
    assert all(ax.get_images()[0].get_clim() == axs[0].get_images()[0].get_clim() for ax in axs)
    low, high = plot_difference(xray, rendered, reach=2.5)[0].get_images()[0].get_clim()
    assert (low, high) == (-2.5, 2.5)


def test_what_the_mask_hides_is_black_and_no_difference():
    xray, mask = torch.rand(1, 1, 9, 7), torch.ones(9, 7)
    mask[:3] = 0
    cut = torch.where(mask > 0, xray, 50.0)
    (picture,) = pictures(plot_overlay(cut, xray, mask=mask)[0])
    assert picture[:3].max() == 0
    assert np.ptp(picture, axis=2).max() < 1e-6
    assert picture[3:].max() == pytest.approx(1.0, abs=1e-6)
    (difference,) = pictures(plot_difference(cut, xray, mask=mask)[0])
    assert np.abs(difference).max() < 1e-5
    with pytest.raises(ValueError, match=r"mask of \(9, 7\)"):
        plot_overlay(xray, xray, mask=torch.zeros(9, 7))


def test_images_that_do_not_match_are_refused():
    for draw in (plot_overlay, plot_difference):
        with pytest.raises(ValueError, match=r"\(2, 1, 8, 8\) and \(1, 1, 8, 9\)"):
            draw(torch.rand(2, 1, 8, 8), torch.rand(1, 1, 8, 9))
    with pytest.raises(ValueError, match="stripes"):
        plot_overlay(torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8), style="stripes")


def test_constant_images_are_drawn_without_a_warning():
    plot_overlay(torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
    plot_difference(torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize(("start", "angle"), [(None, 40.0), (0, 20.0)])
def test_convergence_shows_every_iteration_of_the_chosen_start(start, angle):
    result = make_result()
    scores, distances = plot_convergence(result, start=start)
    drawn = np.concatenate([line.get_ydata() for line in scores.get_lines()])
    np.testing.assert_allclose(drawn, (0.6 if start is None else 0.5) + 0.05 * np.arange(6), rtol=1e-6)
    assert [len(line.get_xdata()) for line in scores.get_lines()] == [4, 2]  # stages are not joined
    mm, degrees = (line.get_ydata() for line in distances.get_lines())
    np.testing.assert_allclose(degrees[:5], angle * (0.5 ** np.arange(5) - 0.5**5), rtol=1e-3)
    assert np.nanmax(mm) < 1e-3  # turns about the isocentre leave it where it is
    assert np.isnan(degrees[5])  # no distance from itself


def test_distances_can_be_taken_from_the_truth():
    _, axes = plt.subplots(1, 2)
    axs = plot_convergence(make_result(), truth=make_pose(0.0, depth=803.0), axs=axes)
    mm, degrees = (line.get_ydata() for line in axs[1].get_lines())
    np.testing.assert_allclose(mm, 3.0, rtol=1e-3)
    np.testing.assert_allclose(degrees, 40.0 * 0.5 ** np.arange(6), rtol=1e-3)
    assert "true" in axs[1].get_ylabel()


def test_convergence_needs_a_trace_and_two_axes(drr):
    result = make_result()
    with pytest.raises(ValueError, match="two axes"):
        plot_convergence(result, axs=plt.subplots()[1])
    empty = RegistrationResult(result.poses, result.score, result.status, (), 0.0)
    with pytest.raises(ValueError, match="trace"):
        plot_convergence(empty)
    with pytest.raises(ValueError, match="trace"):
        animate("a.gif", torch.rand(1, 1, 20, 30), drr, empty)


def test_animation_ends_with_the_last_pose(drr, tmp_path):
    result = make_result()
    with torch.no_grad():
        xray = drr(RigidTransform(result.pose[1]))
    animate(tmp_path / "a.gif", xray, drr, result)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 6
        assert film.info["loop"] == 0
        colours = []
        for frame in (0, 5):
            film.seek(frame)
            colours.append(np.ptp(np.asarray(film.convert("RGB"), dtype=float)[45:], axis=2))
        assert film.info["duration"] == 2000
    assert colours[0].max() > 50  # the start does not fit, the end does
    assert colours[1].max() < 16


def test_animation_can_begin_with_the_start(drr, tmp_path):
    result, init = make_result(), RigidTransform(torch.cat([make_pose(0.0).matrix, make_pose(-20.0).matrix]))
    with torch.no_grad():
        xray = drr(RigidTransform(init.matrix[1:]))
    animate(tmp_path / "a.gif", xray, drr, result, init=init)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 7
        colours = []
        for frame in (0, 1):
            film.seek(frame)
            colours.append(np.ptp(np.asarray(film.convert("RGB"), dtype=float)[45:], axis=2))
    assert colours[0].max() < 16
    assert colours[1].max() > 50


def test_the_trace_of_a_search_serves_every_pose_that_it_found(drr, tmp_path):
    batch = make_result()
    trace = tuple(replace(it, pose=RigidTransform(it.pose.matrix[1:]), score=it.score[1:]) for it in batch.trace)
    found = replace(batch, trace=trace)
    for start in (0, 1):
        (line, *_) = plot_convergence(found, start=start)[0].get_lines()
        np.testing.assert_allclose(line.get_ydata(), 0.6 + 0.05 * np.arange(4), rtol=1e-6)
        animate(tmp_path / "a.gif", torch.rand(1, 1, 20, 30), drr, found, start=start)


def test_a_trace_of_other_starts_is_refused():
    with pytest.raises(ValueError, match=r"1 start.*Got one of 2"):
        plot_convergence(make_result().only(1))


def test_long_ways_are_thinned_out_and_views_stand_side_by_side(drr, tmp_path):
    result = make_result(n_iterations=30, views=2)
    with torch.no_grad():
        xrays = [drr(RigidTransform(pose[1])) for pose in result.poses]
    animate(tmp_path / "a.gif", xrays, [drr, drr], result, max_frames=5)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 5
        assert film.width > 2 * film.height
        film.seek(4)
        assert np.ptp(np.asarray(film.convert("RGB"), dtype=float)[45:], axis=2).max() < 16


def test_animation_says_what_does_not_fit(drr, tmp_path):
    with pytest.raises(ValueError, match=r"\.gif"):
        animate(tmp_path / "a.mp4", torch.rand(1, 1, 20, 30), drr, make_result())
    with pytest.raises(ValueError, match="2 view"):
        animate(tmp_path / "a.gif", torch.rand(1, 1, 20, 30), drr, make_result(views=2))


# A registration in a folder


def test_what_was_found_is_rendered_with_the_intrinsics_that_were_found(drr):
    result = make_result(views=2)
    image = render_registered(drr, result, view=1)
    assert image.shape == (1, 1, 20, 30)
    torch.testing.assert_close(image, drr(RigidTransform(result.poses[1][1])))
    first = render_registered(drr, result, start=0)
    torch.testing.assert_close(first, drr(RigidTransform(result.pose[0])))
    found = ({"sdd": torch.tensor([900.0, 950.0]), "x0": torch.tensor([1.0, -7.0])}, {})
    other = DRR(drr.subject, sdd=950.0, height=20, width=30, delx=8.0, x0=-7.0, renderer="joseph")
    shifted = render_registered(drr, replace(result, intrinsics=found))
    torch.testing.assert_close(shifted, other(RigidTransform(result.pose[1])))
    assert drr.detector.sdd == 1000.0


@pytest.mark.parametrize("views", [1, 2])
def test_a_folder_holds_pictures_the_trace_and_a_film(drr, tmp_path, views):
    result = make_result(views=views)
    xrays, starts = [drr(make_pose(0.0))] * views, [make_pose(-40.0), make_pose(50.0)][:views]
    given = (xrays[0], drr, result, starts[0]) if views == 1 else (xrays, [drr] * 2, result, starts)
    names = save_registration(tmp_path, *given)
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    assert set(names) == {"trace.csv", "overlay.png", "difference.png", "convergence.png", "convergence.gif"}
    with Image.open(tmp_path / "overlay.png") as one, Image.open(tmp_path / "difference.png") as other:
        assert one.width == 2 * other.width
        assert one.height == other.height == pytest.approx(views * 4.3 * 110, abs=2)
    again = save_registration(tmp_path, *given, mask=[torch.ones(20, 30)] * views, names=["a"] * views, animation=False)
    assert "convergence.gif" not in again


def test_a_folder_wants_as_many_of_everything_as_views(drr, tmp_path):
    xray = drr(make_pose(0.0))
    with pytest.raises(ValueError, match="for each of 2 view"):
        save_registration(tmp_path, xray, drr, make_result(views=2), make_pose(0.0))
    with pytest.raises(ValueError, match="for each of 1 view"):
        save_registration(tmp_path, xray, drr, make_result(), make_pose(0.0), names=["a", "b"])
    assert list(tmp_path.iterdir()) == []
