"""Sixteen parts of an image, and how far each alone would shift a body: hardly where all fits, apart where not."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from raygrad.pose import RigidTransform
from raygrad.registration._agreement import HALVES, Halves
from raygrad.registration._problem.comparison import ByFeatures
from raygrad.registration._problem.halves import least_share
from raygrad.registration._problem.pose_problem import RAYS_AT_ONCE, PoseProblem, States
from raygrad.registration._problem.similarity import LocalCorrelation
from raygrad.registration._solver.batches import Batch

BANDS = 4
"""Bands of rows, each of which is cut into as many parts."""
LEAST_TOLD = 0.02
"""A part tells of every shift at least so much as the whole image does, in squares, or is not asked."""


@dataclass(frozen=True)
class Parts(Batch):
    """What parts of every view's image say of a body's shifts by mm: to the right and downwards, as images are shown.

    Attributes:
        pull: their share of the gradient (batch, view, part, 2).
        tells: their share of J' J (batch, view, part, 2, 2).
        chance: the same sum of the squares of each pixel's pull: what noise that knows no neighbours makes.
        across: right and down in the body's frame (batch, view, 3, 2).
        along: the gradient of all unknowns that a view would have, if it saw the body deeper by a mm than it is (batch,
            view, unknown).
        away: mm from the source to the body's pivot (batch, view); infinite along a parallel beam.
        rows, columns: where the image is cut, from 0 to 1: below bands (batch, view, 3), and right of the first three
            parts of each (batch, view, 4, 3).
    """

    pull: Float[Tensor, "batch view part 2"]
    tells: Float[Tensor, "batch view part 2 2"]
    chance: Float[Tensor, "batch view part 2 2"]
    across: Float[Tensor, "batch view 3 2"]
    along: Float[Tensor, "batch view unknown"]
    away: Float[Tensor, "batch view"]
    rows: Float[Tensor, "batch view 3"]
    columns: Float[Tensor, "batch view 4 3"]

    @property
    def shifts(self) -> Float[Tensor, "batch view part 2"]:
        """Where the X-ray has a part, from where the body's pose puts it: one step of Gauss and Newton, in mm."""
        return (self._inverse @ self.pull[..., None])[..., 0]

    @property
    def variances(self) -> Float[Tensor, "batch view part"]:
        """The mean square of shifts that noise alone makes."""
        return (self._inverse @ self.chance @ self._inverse).diagonal(dim1=-2, dim2=-1).sum(-1)

    @property
    def mean_squares(self) -> Float[Tensor, "batch view"]:
        """Of the shifts along one axis, in mm^2, of every view; parts count by what they tell. NaN where nothing is."""
        told = self.tells.diagonal(dim1=-2, dim2=-1).sum((-2, -1))
        return (self.pull * self.shifts).sum((-2, -1)) / torch.where(told > 0, told, torch.nan)

    @property
    def chance_squares(self) -> Float[Tensor, "batch view"]:
        """What noise alone makes of `mean_squares`."""
        told = self.tells.diagonal(dim1=-2, dim2=-1).sum((-2, -1))
        chance = (self._inverse @ self.chance).diagonal(dim1=-2, dim2=-1).sum((-2, -1))
        return chance / torch.where(told > 0, told, torch.nan)

    @property
    def seen(self) -> Bool[Tensor, "batch view part"]:
        """Which parts tell enough of every shift."""
        whole = self.tells[:, :, :2].sum(2, keepdim=True) if self.pull.shape[2] < BANDS**2 else self.tells.sum(2, True)
        share = least_share(self.tells.flatten(0, 2), whole.expand_as(self.tells).flatten(0, 2))
        return (share > LEAST_TOLD).reshape(self.tells.shape[:3])

    def joined(self) -> "Parts":
        """Halves and quarters, in the order of `PARTS`, of these sixteen."""
        member = _members().to(self.pull)
        tells, chance = ((member @ v.flatten(-2)).unflatten(-1, (2, 2)) for v in (self.tells, self.chance))
        return replace(self, pull=member @ self.pull, tells=tells, chance=chance)

    @property
    def _inverse(self) -> Float[Tensor, "batch view part 2 2"]:
        return torch.linalg.pinv(self.tells, rtol=1e-6, hermitian=True)


def parts_of(problem: PoseProblem, states: States, body: int = 0) -> Parts:
    """What sixteen parts of every view's image say of a body that moves by itself in any way.

    Each part has about as much to say as another: bands of rows are cut where a quarter of what tells of shifts is
    within each, and these where a quarter of theirs is. By a metric, or features of no pixels, images are looked at
    through patches (`LocalCorrelation`).

    Args:
        problem: with the weights by which the states were found.
        states: its entries, where they came to rest.
        body: its number.
    """
    if not _tells_of_pixels(problem, states):
        problem = replace(problem, similarity=LocalCorrelation(9))
    most = max(xray.shape[0] * xray.shape[1] for xray in problem.xrays)
    size = max(1, RAYS_AT_ONCE // most)
    groups = [states[first : first + size] for first in range(0, len(states), size)]
    parts = [_of_group(problem, group, body) for group in groups]
    return Parts(*(torch.cat(columns) for columns in zip(*(vars(part).values() for part in parts), strict=True)))


def _tells_of_pixels(problem: PoseProblem, states: States) -> bool:
    if not isinstance(problem.comparison, ByFeatures):
        return False
    xray, similarity = problem.xrays[0], problem.comparison.similarity
    count = similarity.count(xray.image)
    values = xray.image.new_zeros(1, 1, count)
    return similarity.per_pixel(values, xray.shape).shape[2:] == xray.shape


def _of_group(problem: PoseProblem, states: States, body: int) -> Parts:
    views = [_of_view(problem, states, view, body) for view in range(len(problem.xrays))]
    return Parts(*(torch.stack(columns, dim=1) for columns in zip(*views, strict=True)))


def _of_view(problem: PoseProblem, states: States, view: int, body: int) -> tuple[Tensor, ...]:
    """What `Parts` has of one view, without the axis of views."""
    xray, own = problem.xrays[view], problem.links.own(body)
    assert isinstance(problem.comparison, ByFeatures)
    similarity = problem.comparison.similarity
    moving, fixed = problem.features(states, view)
    residual, jacobian = moving[:, :1] - fixed, moving[:, 1:]

    pose = problem.poses(states, view)[:, body]
    axes = xray.detector.camera_to_world(RigidTransform(pose)).matrix
    steps = xray.detector.intrinsics.pixel_to_camera(axes)[:3, :2]
    across = axes[:, :3, :3] @ functional.normalize(steps, dim=0)
    shifts = across.mT.to(jacobian) @ jacobian[:, own][:, :3]
    pulls = similarity.per_pixel(shifts * residual, xray.shape)
    pairs = ((0, 0), (0, 1), (1, 1))
    told = similarity.per_pixel(torch.stack([shifts[:, a] * shifts[:, b] for a, b in pairs], 1), xray.shape)
    chance = torch.stack([pulls[:, a] * pulls[:, b] for a, b in pairs], 1)

    label, rows, columns = _cut(told[:, ::2])
    member = functional.one_hot(label.flatten(1), BANDS**2).mT.to(told)
    sums = (member @ torch.cat([pulls, told, chance], dim=1).flatten(2).mT).to(states.motions)
    pull, tells, noise = sums.split([2, 3, 3], dim=2)
    beam = problem.beams(pose[:, None], view)[:, 0]
    deeper = beam[:, None].to(jacobian) @ jacobian[:, own][:, :3]
    along = (jacobian @ deeper.mT)[..., 0].to(states.motions)
    away = ((problem.pivots[body] - axes[:, :3, 3]) * beam).sum(1)
    away = torch.full_like(away, torch.inf) if xray.detector.parallel else away
    square = [0, 1, 1, 2]
    return (
        pull,
        tells[..., square].unflatten(-1, (2, 2)),
        noise[..., square].unflatten(-1, (2, 2)),
        across,
        along,
        away,
        rows.to(states.motions),
        columns.to(states.motions),
    )


def _cut(told: Float[Tensor, "batch 2 height width"]) -> tuple[Tensor, Tensor, Tensor]:
    """The part that each pixel belongs to, and where the parts end: see `Parts`."""
    share = (told / told.sum((2, 3), keepdim=True).clamp_min(1e-30)).sum(1)
    height, width = share.shape[1:]
    of_row = _quarters(share.sum(2))
    bands = functional.one_hot(of_row, BANDS).mT.to(share)
    of_column = _quarters(bands @ share)  # (batch, band, width)
    label = BANDS * of_row[:, :, None] + of_column.gather(1, of_row[:, :, None].expand(-1, -1, width))
    rows = torch.stack([(of_row < end).sum(1) for end in range(1, BANDS)], 1) / height
    columns = torch.stack([(of_column < end).sum(2) for end in range(1, BANDS)], 2) / width
    return label, rows, columns


def _quarters(share: Float[Tensor, "*batch place"]) -> Tensor:
    """In which quarter of the whole each place is, whose middle counts."""
    sums = share.cumsum(-1)
    middle = (sums - share / 2) / sums[..., -1:].clamp_min(1e-30)
    return (BANDS * middle).long().clamp(0, BANDS - 1)


def _members() -> Float[Tensor, "part cell"]:
    """Which of the sixteen belong to which of `PARTS`."""
    row, column = torch.arange(BANDS**2) // BANDS, torch.arange(BANDS**2) % BANDS
    upper, left = row < BANDS // 2, column < BANDS // 2
    halves = [upper, ~upper, left, ~left]
    return torch.stack([*halves, upper & left, upper & ~left, ~upper & left, ~upper & ~left]).float()


def agreement(
    parts: Parts, left_out: Bool[Tensor, " batch"], apart_mm: float, beyond_chance: float
) -> tuple[Bool[Tensor, " batch"], Halves]:
    """Which of the entries have a half or a quarter that lies apart from where the pose puts it, and what is told.

    Args:
        parts: sixteen of each view.
        left_out: entries that are not asked.
        apart_mm: a part that lies further, is apart.
        beyond_chance: and so many standard deviations of what noise makes of it.
    """
    joined = parts.joined()
    unseen = ~joined.seen.cpu() | left_out[:, None, None]
    shifts, variances = joined.shifts.cpu().double(), joined.variances.cpu().double()
    squares = shifts.square().sum(-1)
    apart = (squares > apart_mm**2 + beyond_chance**2 * variances) & ~unseen
    mm, view = squares.sqrt().masked_fill(unseen, -1.0).max(1)
    chance = variances.sqrt().gather(1, view[:, None])[:, 0]
    hidden, nan = mm < 0, torch.nan
    told = (left_out[:, None, None], left_out[:, None, None, None])
    halves = Halves(
        mm.masked_fill(hidden, nan),
        shifts.masked_fill(unseen[..., None], nan),
        chance.masked_fill(hidden, nan),
        parts.shifts.cpu().double().masked_fill(~parts.seen.cpu()[..., None] | told[1], nan),
        parts.rows.cpu().double().masked_fill(told[0], nan),
        parts.columns.cpu().double().masked_fill(told[1], nan),
        torch.full((len(mm), len(HALVES)), nan, dtype=torch.float64),
    )
    return apart.flatten(1).any(1), halves
