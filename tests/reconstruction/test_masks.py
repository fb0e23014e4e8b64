"""Pixels that do not count: a reconstruction is the one from the other rays alone, whatever is in those pixels."""

import math

import pytest
import torch
from reconstruction_cases import exact_images, make_geometry, make_views

from raygrad.geometry import RayViews
from raygrad.projector import Projector
from raygrad.reconstruction import METHODS, calibrate, reconstruct

pytestmark = pytest.mark.usefixtures("one_thread")
N_VIEWS, PIXELS, KEPT = 8, 20, 260
GRID = make_geometry(12)
PHOTONS = 1e4
OPTIONS = {
    "sirt": [{}],
    "os_sart": [{"n_subsets": 4}],
    "cgls": [{}, {"nonnegative": True, "damping": 3.0}],
    "osem": [{"n_subsets": 2}, {"photons": PHOTONS}, {"photons": PHOTONS, "counts": True}],
    "tv": [{"penalty": 0.05}, {"strength": 0.0}],
    "adam": [{"nonnegative": True, "n_subsets": 2}],
}
CASES = [(method, options) for method in METHODS for options in OPTIONS.get(method, [])]


@pytest.fixture(scope="module")
def scene():
    """All rays of a sweep, and a mask that leaves as many of each view."""
    views = make_views(N_VIEWS, PIXELS, torch.float64)
    generator = torch.Generator().manual_seed(0)
    order = torch.rand(N_VIEWS, PIXELS**2, generator=generator).argsort(dim=1)
    kept = order[:, :KEPT].sort(dim=1).values
    mask = torch.zeros(N_VIEWS, PIXELS**2, dtype=torch.bool).scatter_(1, kept, True)
    return views, exact_images(views), mask.unflatten(1, (PIXELS, PIXELS)), kept


def rays_alone(views, kept):
    """Views of the kept rays, as a detector of one row has them."""
    source, target = views.rays()
    chosen = target.gather(1, kept[..., None].expand(-1, -1, 3))
    return RayViews(source.expand(-1, target.shape[1], 3)[:, : kept.shape[1]].contiguous(), chosen, (1, kept.shape[1]))


@pytest.mark.parametrize(("method", "options"), CASES)
def test_a_masked_reconstruction_is_that_of_the_other_rays(scene, method, options):
    views, images, mask, kept = scene
    garbage = torch.where(mask, images, 1e3)
    if options.get("counts"):
        garbage, images = (PHOTONS * torch.exp(-each) for each in (garbage, images))
    garbage[0][~mask[0]] = math.nan
    settings = {"method": method, "iterations": 3, **options}
    found = reconstruct(garbage, views, GRID, mask=mask, **settings)
    alone = reconstruct(images.flatten(1).gather(1, kept)[:, None], rays_alone(views, kept), GRID, **settings)
    torch.testing.assert_close(found.volume, alone.volume, rtol=1e-7, atol=1e-10)
    torch.testing.assert_close(found.residual, alone.residual)
    if method in ("osem", "tv"):
        assert found.history[-1].objective == pytest.approx(alone.history[-1].objective, rel=1e-7)
    unmasked = reconstruct(torch.where(mask, images, images.max()), views, GRID, **settings)
    assert (unmasked.volume - found.volume).norm() > 0.1 * found.volume.norm()


def test_the_noise_of_masked_rows_is_not_estimated(scene):
    """A detector that ends earlier, of which the penalty is that of the pixels that are there."""
    views, images, _, _ = scene
    noisy = images + 0.05 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1), dtype=images.dtype)
    mask = torch.zeros_like(images, dtype=torch.bool)
    mask[:, 13:] = True
    source, target = views.rays()
    fewer = RayViews(source, target.unflatten(1, (PIXELS, PIXELS))[:, 13:].flatten(1, 2), (7, PIXELS))
    settings = {"method": "tv", "iterations": 3, "strength": 2.0}
    found = reconstruct(torch.where(mask, noisy, 7.0), views, GRID, mask=mask, **settings)
    torch.testing.assert_close(found.volume, reconstruct(noisy[:, 13:], fewer, GRID, **settings).volume)


def test_a_masked_projector_is_linear_and_has_its_adjoint(scene):
    views, images, mask, _ = scene
    projector, whole = Projector(GRID, views, mask=mask, rays_at_once=500), Projector(GRID, views)
    volume = torch.rand(GRID.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(projector(volume), whole(volume) * mask)
    torch.testing.assert_close(projector.T(images), whole.T(images * mask))
    torch.testing.assert_close((projector(volume) * images).sum(), (volume * projector.T(images)).sum())
    torch.testing.assert_close(projector[2:5](volume), projector(volume)[2:5])
    assert projector.with_views(views).mask is None
    for subset, positions in projector.subsets(3):
        assert torch.equal(subset.mask, mask[positions])
    place = volume.clone().requires_grad_()
    projector(place).sum().backward()
    torch.testing.assert_close(place.grad, projector.T(torch.ones_like(images)))
    with pytest.raises(ValueError, match="Expected a mask of bools"):
        Projector(GRID, views, mask=mask[1:])


def test_a_checkpoint_knows_its_mask(scene, tmp_path):
    views, images, mask, _ = scene
    images, kept = torch.where(mask, images, 0.0), {"checkpoint": tmp_path / "kept", "checkpoint_every": 0}
    whole = reconstruct(images, views, GRID, mask=mask, method="cgls", iterations=4)
    reconstruct(images, views, GRID, mask=mask, method="cgls", iterations=2, **kept)
    resumed = reconstruct(images, views, GRID, mask=mask, method="cgls", iterations=4, **kept)
    assert torch.equal(resumed.volume, whole.volume)
    for other in (None, mask & mask.roll(1, 0)):
        with pytest.raises(ValueError, match=r"other .*mask"):
            reconstruct(images, views, GRID, mask=other, method="cgls", iterations=4, **kept)


@pytest.mark.filterwarnings("ignore::raygrad.reconstruction.ReconstructionWarning")
def test_masks_that_do_not_fit_are_refused(scene):
    views, images, mask, _ = scene
    for wrong, said in (
        (mask[1:], r"Expected a mask of shape \(8, 20, 20\)"),
        (mask * 0.5, "Expected a mask of 0, for pixels that do not count, and 1"),
        (torch.cat([mask[:7], torch.zeros_like(mask[:1])]), r"none of views \[7\]"),
    ):
        with pytest.raises(ValueError, match=said):
            reconstruct(images, views, GRID, mask=wrong)
    with pytest.raises(ValueError, match="Got fdk, which needs all"):
        reconstruct(images, views, GRID, mask=mask, method="fdk")
    with pytest.raises(ValueError, match="without a mask to calibrate"):
        reconstruct(images, views, GRID, mask=mask, calibrate="poses")
    with pytest.raises(ValueError, match="without a mask to calibrate"):
        calibrate(Projector(GRID, views, mask=mask), images)
    whole = reconstruct(images, views, GRID, mask=torch.ones_like(mask), method="fdk")
    assert torch.equal(whole.volume, reconstruct(images, views, GRID, method="fdk").volume)
