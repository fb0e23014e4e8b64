"""Pictures of X-ray images and of what is seen in them."""

from raygrad.visualization.images import plot_drr as plot_drr
from raygrad.visualization.images import plot_img_and_mask as plot_img_and_mask
from raygrad.visualization.images import plot_mask as plot_mask
from raygrad.visualization.landscape import plot_landscape as plot_landscape
from raygrad.visualization.landscape import plot_landscape_maps as plot_landscape_maps
from raygrad.visualization.landscape import plot_landscape_profiles as plot_landscape_profiles
from raygrad.visualization.landscape import plot_profile as plot_profile
from raygrad.visualization.registration import animate as animate
from raygrad.visualization.registration import plot_convergence as plot_convergence
from raygrad.visualization.registration import plot_difference as plot_difference
from raygrad.visualization.registration import plot_overlay as plot_overlay
from raygrad.visualization.volumes import plot_history as plot_history
from raygrad.visualization.volumes import plot_slices as plot_slices
