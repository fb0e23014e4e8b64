"""The built-in example CT: an anthropomorphic thorax, made by raygrad itself."""

from raygrad.phantoms._thorax.phantom import SHAPE as SHAPE
from raygrad.phantoms._thorax.phantom import SPACING as SPACING
from raygrad.phantoms._thorax.phantom import STRUCTURES as STRUCTURES
from raygrad.phantoms._thorax.phantom import make_thorax as make_thorax
