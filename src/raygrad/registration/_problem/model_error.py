"""What the model of the X-rays gets wrong, and by how much that moves what is found: far more than noise does."""

from dataclasses import replace

import torch

from raygrad.registration._problem.parts import Parts, parts_of
from raygrad.registration._problem.pose_problem import PoseProblem, States
from raygrad.registration._problem.uncertainty import estimate_covariance
from raygrad.registration._solver.levenberg_marquardt import Linearisation

IN_COMMON, HIDDEN = 1.8, 0.6
"""The whole image is as wrong in plane as its sixteenths are apart, times the first: were they wrong independently of
each other, a quarter would do, but a wrong spectrum, scatter, display or table is wrong in all of them alike. Of what
noise moves sixteenths by, the second, for it hides as much.
"""
OUTLINE = 2.5
"""The outline of a body is off by so many times what is seen to be wrong, outwards or inwards: it looks larger or
smaller, and so nearer or farther, and on this all parts agree.

The three were measured on X-rays that raygrad did not make, of a chest CT by an independent simulator (spectra,
scatter, displays, tables, small fields); on 48 of two CTs with two materials, scatter, blur, noise and displays at
random. Errors over deviations have a median of 0.7 in plane, 0.5 in depth and 0.9 of turns under the realistic
conditions of `raygrad evaluate registration`, which had no part in that, and 2.6, 5 and 5 at 95 %; of 3 and 14 without.
Of noise alone, with a model that is right, they are 0.3 to 0.6.
"""
LEAST_REACH = 40.0
"""A body is taken to be at least so large in mm, where its outline is."""


def with_model_error(
    problem: PoseProblem, states: States, at: Linearisation, main: int = 0
) -> tuple[Linearisation, Parts | None]:
    """The linearisation with a scatter of the gradient that holds what the model gets wrong, beside noise.

    The scatter by squares of pixels has the right shape, of what the images tell least, and the size of noise. For each
    body that moves in any way it is enlarged so that the body's variance in plane grows by that of what parts of the
    image are apart; for all other unknowns as for the main body. Then come the body's depth, by its outline, and what
    is known of the geometry beforehand, by its own deviations.

    Args:
        problem: what the entries were found in.
        states: where they are.
        at: what the images say there.
        main: the body that poses are of.

    Returns:
        And the parts of the image by the main body, if that moves in any way.
    """
    links, covariance = problem.links, estimate_covariance(at).to(at.scatter)
    scale = torch.ones_like(at.gradient)
    added, of_main = torch.zeros_like(at.scatter), None
    for body in sorted(range(len(links.ways)), key=lambda body: body != main):
        if links.ways[body] is not None:
            continue
        parts, own = parts_of(problem, states, body), links.own(body)
        squares = parts.mean_squares
        shifts = covariance[:, None, own, own][..., :3, :3]
        variances = (parts.across.mT @ shifts @ parts.across).diagonal(dim1=-2, dim2=-1).mean(-1)
        variance = variances.masked_fill(squares.isnan(), 0).sum(1).clamp_min(torch.finfo(variances.dtype).tiny)
        chance = parts.chance_squares
        wrong = IN_COMMON**2 * (squares - chance).clamp_min(0).nan_to_num()
        size = (1 + (wrong + HIDDEN**2 * chance.nan_to_num()).sum(1) / variance).sqrt()
        if body == main:
            of_main = parts
            scale = size[:, None].expand_as(scale).clone()
        else:
            scale[:, own] = size[:, None]
        deeper = OUTLINE * wrong.sqrt() * parts.away / max(problem.radius_of(body), LEAST_REACH)
        push = deeper.masked_fill(parts.away.isinf(), 0)[..., None] * parts.along
        added = added + push.mT @ push
    scatter = at.scatter * scale[:, :, None] * scale[:, None] + added + problem.prior_scatter(states)
    return replace(at, scatter=scatter), of_main
