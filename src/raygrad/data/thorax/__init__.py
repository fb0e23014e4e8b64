"""The built-in example CT: an anthropomorphic thorax, made by raygrad itself."""

from raygrad.data.thorax.phantom import SHAPE as SHAPE
from raygrad.data.thorax.phantom import SPACING as SPACING
from raygrad.data.thorax.phantom import STRUCTURES as STRUCTURES
from raygrad.data.thorax.phantom import make_thorax as make_thorax
