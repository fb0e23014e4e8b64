"""The cockpit: a page where a person sees, drags, registers and believes.

The room has an underscore since its one function for users has its name, and no function hides its module.
"""

from raygrad._cockpit._for_python import Cockpit as Cockpit
from raygrad._cockpit._for_python import cockpit as cockpit

__all__ = ["cockpit", "Cockpit"]

# Lent to other rooms; not for users.
from raygrad._cockpit._files import Opened as Opened
from raygrad._cockpit._files import Read as Read
from raygrad._cockpit._opening import Opening as Opening
from raygrad._cockpit._saved import made_of as made_of
from raygrad._cockpit._saved import read_saved as read_saved
from raygrad._cockpit._saved import restore as restore
from raygrad._cockpit._serving import Serving as Serving
from raygrad._cockpit._session import Session as Session
from raygrad._cockpit._simulated import pose_of as pose_of
from raygrad._cockpit._simulated import taken as taken
from raygrad._cockpit._sweep import OpenSweep as OpenSweep
from raygrad._cockpit._sweep import SweepSession as SweepSession
from raygrad._cockpit._xray import OpenXRay as OpenXRay
