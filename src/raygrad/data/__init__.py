"""CTs and labelmaps: reading them, what X-rays lose in them, and examples."""

from raygrad.data.density import hu_to_attenuation as hu_to_attenuation
from raygrad.data.density import hu_to_density as hu_to_density
from raygrad.data.density import transform_hu_to_density as transform_hu_to_density
from raygrad.data.examples import load_example_ct as load_example_ct
from raygrad.data.geometry import VolumeGeometry as VolumeGeometry
from raygrad.data.io import read_volume as read_volume
from raygrad.data.read import read as read
from raygrad.data.subject import Subject as Subject
from raygrad.data.subject import make_reorient as make_reorient
from raygrad.data.volume import Volume as Volume
from raygrad.data.write import write_volume as write_volume
