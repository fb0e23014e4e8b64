"""Pictures of X-ray images and of what is seen in them."""

from raygrad.visualization._comparisons import save_comparison as save_comparison
from raygrad.visualization._cut_out import plot_cut_out as plot_cut_out
from raygrad.visualization._halves import plot_halves as plot_halves
from raygrad.visualization._images import plot_drr as plot_drr
from raygrad.visualization._images import plot_img_and_mask as plot_img_and_mask
from raygrad.visualization._images import plot_mask as plot_mask
from raygrad.visualization._landscape import plot_landscape as plot_landscape
from raygrad.visualization._landscape import plot_landscape_maps as plot_landscape_maps
from raygrad.visualization._landscape import plot_landscape_profiles as plot_landscape_profiles
from raygrad.visualization._landscape import plot_profile as plot_profile
from raygrad.visualization._landscape import save_landscape as save_landscape
from raygrad.visualization._registration import animate as animate
from raygrad.visualization._registration import plot_convergence as plot_convergence
from raygrad.visualization._registration import plot_difference as plot_difference
from raygrad.visualization._registration import plot_overlay as plot_overlay
from raygrad.visualization._registration_report import render_registered as render_registered
from raygrad.visualization._registration_report import save_registration as save_registration
from raygrad.visualization._volumes import plot_history as plot_history
from raygrad.visualization._volumes import plot_slices as plot_slices

__all__ = [
    "plot_drr",
    "plot_mask",
    "plot_img_and_mask",
    "plot_overlay",
    "plot_difference",
    "plot_convergence",
    "plot_halves",
    "animate",
    "plot_landscape",
    "plot_landscape_maps",
    "plot_landscape_profiles",
    "plot_profile",
    "plot_slices",
    "plot_cut_out",
    "plot_history",
    "save_comparison",
    "save_landscape",
    "render_registered",
    "save_registration",
]

# Lent to other rooms; not for users.
from raygrad.visualization._landscape import LANDSCAPE_FILES as LANDSCAPE_FILES
