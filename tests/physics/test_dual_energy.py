"""Dual energy: path lengths of two materials, against slabs whose images are the sum over energies spelled out."""

import pytest
import torch
from beam_cases import MATERIALS, make_physics, polychromatic

from raygrad._attenuation import linear_attenuation
from raygrad.physics import Physics, Spectrum, decompose, sensor_named

pytestmark = pytest.mark.usefixtures("one_thread")
PAIRS = {
    "80 and 140 kV": (make_physics(80.0), make_physics(140.0, aluminium=3.0, tin=0.4)),
    "one tube, two counting detectors": (make_physics(60.0, "cdte-counting"), make_physics(120.0, "cdte-counting")),
}
every_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)


@pytest.fixture(scope="module")
def pair():
    return PAIRS["80 and 140 kV"]


def slabs(water=(0, 400, 9), bone=(0, 60, 7)):
    """(material, view, height, width) every combination of so many mm."""
    grids = torch.meshgrid(*(torch.linspace(*steps, dtype=torch.float64) for steps in (water, bone)), indexing="ij")
    return torch.stack(grids)[:, None]


@every_pair
def test_slabs_are_found(pair):
    mm = slabs()
    found = decompose(*(polychromatic(mm, physics) for physics in pair), pair)
    assert found.converged.all()
    assert found.path_lengths.shape == (1, 2, 9, 7)
    torch.testing.assert_close(found.path_lengths[0], mm[:, 0], rtol=0, atol=1e-6)
    assert torch.equal(found.of("water"), found.path_lengths[:, 0])
    assert "100.0000% converged" in repr(found)


def test_other_materials(pair):
    names = ("soft tissue", "iodine")
    mm = slabs((0, 300, 5), (0, 0.2, 5))
    images = (polychromatic(mm, physics, names) for physics in pair)
    found = decompose(*images, pair, materials=names)
    torch.testing.assert_close(found.path_lengths[0], mm[:, 0], rtol=0, atol=1e-6)
    assert found.materials == names


def test_two_single_energies_are_two_linear_equations():
    energies = (45.0, 100.0)
    pair = tuple((Spectrum.monochromatic(energy), sensor_named("ideal")) for energy in energies)
    mu = torch.stack([torch.stack([linear_attenuation(m, e).reshape(()) for m in MATERIALS]) for e in energies])
    images = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = decompose(*images, pair)
    expected = torch.einsum("mb,bvhw->vmhw", torch.linalg.inv(mu), images)  # below 0 too
    torch.testing.assert_close(found.path_lengths, expected, rtol=1e-9, atol=1e-7)
    assert found.converged.all()


def test_noise_makes_no_ray_fail(pair):
    mm = slabs()
    noise = torch.randn(2, *mm.shape[1:], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    images = [polychromatic(mm, physics) + 0.05 * part for physics, part in zip(pair, noise, strict=True)]
    found = decompose(*images, pair)
    assert found.converged.all()
    assert found.path_lengths.min() < -1  # and nothing is kept from being so
    again = torch.stack([polychromatic(found.path_lengths.movedim(1, 0), physics) for physics in pair])
    torch.testing.assert_close(again, torch.stack(images), rtol=0, atol=1e-9)


def test_derivatives_are_exact(pair):
    mm = slabs((5, 300, 3), (1, 40, 3))
    images = [polychromatic(mm, physics).requires_grad_() for physics in pair]
    assert torch.autograd.gradcheck(lambda *both: decompose(*both, pair).path_lengths, images, check_forward_ad=True)
    few = [image[:, :2, :1].detach().requires_grad_() for image in images]
    assert torch.autograd.gradgradcheck(lambda *both: decompose(*both, pair).path_lengths, few)
    # There and back is the identity, and so is its derivative.
    lengths = mm.clone().requires_grad_()
    back = decompose(*(polychromatic(lengths, physics) for physics in pair), pair)
    cotangent = torch.randn(back.path_lengths.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((back.path_lengths * cotangent).sum(), lengths)
    torch.testing.assert_close(gradient, cotangent.movedim(1, 0), rtol=1e-7, atol=1e-7)


def test_virtual_images_are_those_of_one_energy(pair):
    mm = slabs()
    found = decompose(*(polychromatic(mm, physics) for physics in pair), pair)
    for energy in (40.0, 70, 120.0):
        mu = [float(linear_attenuation(material, float(energy))) for material in MATERIALS]
        virtual = found.virtual_monochromatic(energy)
        torch.testing.assert_close(virtual, mu[0] * mm[0] + mu[1] * mm[1], rtol=0, atol=1e-7)
        soft = found.virtual_monochromatic(energy, without="cortical bone")
        torch.testing.assert_close(soft, mu[0] * mm[0], rtol=0, atol=1e-7)
    assert not found.virtual_monochromatic(70, without=MATERIALS).any()
    with pytest.raises(ValueError, match="Expected one of water, cortical bone"):
        found.virtual_monochromatic(70, without="titanium")
    with pytest.raises(ValueError, match="10 to 150"):
        found.virtual_monochromatic(5)


def test_single_precision_is_as_good_as_its_digits(pair):
    mm = slabs()
    found = decompose(*(polychromatic(mm, physics).float() for physics in pair), pair)
    assert found.path_lengths.dtype == torch.float32
    assert found.converged.all()
    torch.testing.assert_close(found.path_lengths[0].double(), mm[:, 0], rtol=0, atol=2e-3)


def test_what_did_not_converge_is_told(pair):
    mm = slabs()
    found = decompose(*(polychromatic(mm, physics) for physics in pair), pair, iterations=1)
    assert found.iterations == 1
    assert found.converged[0, 0, 0]  # nothing in the beam, where it begins
    assert not found.converged[0, 1:].any()


def test_spectra_that_do_not_tell_materials_apart_are_refused():
    images = torch.ones(2, 1, 2, 3)
    one = make_physics(80.0)
    with pytest.raises(ValueError, match="two spectra that tell water from cortical bone"):
        decompose(*images, (one, one))
    with pytest.raises(ValueError, match="two spectra that tell"):
        decompose(*images, (make_physics(80.0), make_physics(80.2)))
    with pytest.raises(ValueError, match="Expected two materials"):
        decompose(*images, (one, make_physics(140.0)), materials=("water", "water"))
    with pytest.raises(ValueError, match="unobtainium"):
        decompose(*images, (one, make_physics(140.0)), materials=("water", "unobtainium"))


@pytest.mark.parametrize(
    ("low", "high", "error", "said"),
    [
        (torch.ones(1, 2, 3), torch.ones(1, 2, 4), ValueError, "one shape"),
        (torch.ones(1, 2, 3), torch.ones(1, 2, 3).double(), ValueError, "dtype"),
        (torch.ones(2, 3), torch.ones(2, 3), ValueError, "one shape"),
        (torch.ones(1, 2, 3), torch.full((1, 2, 3), torch.nan), ValueError, "finite line integrals of high energy"),
        (torch.ones(1, 2, 3).long(), torch.ones(1, 2, 3), TypeError, "float32 or float64"),
    ],
)
def test_images_that_do_not_fit_are_refused(pair, low, high, error, said):
    with pytest.raises(error, match=said):
        decompose(low, high, pair)


def test_a_gradient_that_would_get_nothing_is_refused(pair):
    kvp = torch.tensor(80.0, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ValueError, match="without a gradient"):
        decompose(*torch.ones(2, 1, 2, 3), ((Spectrum.tube(kvp), sensor_named("csi")), pair[1]))


def test_no_rays_are_taken(pair):
    assert decompose(*torch.ones(2, 0, 2, 3), pair).path_lengths.shape == (0, 2, 2, 3)


def test_other_arguments_are_refused(pair):
    images = torch.ones(2, 1, 2, 3)
    with pytest.raises(TypeError, match=r"\(low, high\). Got Physics"):
        decompose(*images, pair[0])
    with pytest.raises(TypeError, match="Expected a Physics"):
        decompose(*images, (pair[0], 120))
    with pytest.raises(ValueError, match="positive tolerance"):
        decompose(*images, pair, tolerance=0)
    assert isinstance(pair[0], Physics)
