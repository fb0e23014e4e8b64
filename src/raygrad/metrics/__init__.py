"""How alike two images are, and how far apart two poses.

Image metrics take two batches (B, C, H, W), of which one may have B = 1, and return scores (B,), higher where the
images are more alike. Metrics of volumes take two volumes (x, y, z) and return one number. All are differentiable in
both, and compute in float32 or float64, also under torch.autocast and for images of half precision.

On a GPU none waits for it, so they can be captured in a CUDA graph: checks that read values are made on the CPU only.
"""

from raygrad.metrics._geodesic import DoubleGeodesicSE3 as DoubleGeodesicSE3
from raygrad.metrics._geodesic import LogGeodesicSE3 as LogGeodesicSE3
from raygrad.metrics._gradient import GradientDifference as GradientDifference
from raygrad.metrics._gradient import GradientNormalizedCrossCorrelation2d as GradientNormalizedCrossCorrelation2d
from raygrad.metrics._gradient import gradient_difference as gradient_difference
from raygrad.metrics._information import MutualInformation as MutualInformation
from raygrad.metrics._information import mutual_information as mutual_information
from raygrad.metrics._ncc import MultiscaleNormalizedCrossCorrelation2d as MultiscaleNormalizedCrossCorrelation2d
from raygrad.metrics._ncc import NormalizedCrossCorrelation2d as NormalizedCrossCorrelation2d
from raygrad.metrics._ncc import normalized_cross_correlation as normalized_cross_correlation
from raygrad.metrics._ncc import patch_normalized_cross_correlation as patch_normalized_cross_correlation
from raygrad.metrics._points import mean_reprojection_distance as mean_reprojection_distance
from raygrad.metrics._points import mean_target_registration_error as mean_target_registration_error
from raygrad.metrics._ssim import StructuralSimilarity2d as StructuralSimilarity2d
from raygrad.metrics._ssim import structural_similarity as structural_similarity
from raygrad.metrics._volumes import peak_signal_to_noise_ratio as peak_signal_to_noise_ratio
from raygrad.metrics._volumes import relative_error as relative_error
from raygrad.metrics._volumes import root_mean_square_error as root_mean_square_error
from raygrad.metrics._volumes import structural_similarity_3d as structural_similarity_3d

__all__ = [
    "NormalizedCrossCorrelation2d",
    "MultiscaleNormalizedCrossCorrelation2d",
    "GradientNormalizedCrossCorrelation2d",
    "MutualInformation",
    "StructuralSimilarity2d",
    "GradientDifference",
    "normalized_cross_correlation",
    "patch_normalized_cross_correlation",
    "mutual_information",
    "structural_similarity",
    "gradient_difference",
    "mean_target_registration_error",
    "mean_reprojection_distance",
    "DoubleGeodesicSE3",
    "LogGeodesicSE3",
    "relative_error",
    "root_mean_square_error",
    "peak_signal_to_noise_ratio",
    "structural_similarity_3d",
]

# Lent to other rooms; not for users.
from raygrad.metrics._filters import gaussian_window as gaussian_window
from raygrad.metrics._filters import separable as separable
from raygrad.metrics._filters import sobel as sobel
