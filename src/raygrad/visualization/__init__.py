"""Pictures of X-ray images and of what is seen in them."""

from raygrad.visualization.images import plot_drr as plot_drr
from raygrad.visualization.images import plot_img_and_mask as plot_img_and_mask
from raygrad.visualization.images import plot_mask as plot_mask
