"""The commands of pages, a file a subject. Importing one makes its commands known."""

from raygrad._cockpit.commands import bodies as bodies
from raygrad._cockpit.commands import files as files
from raygrad._cockpit.commands import geometry as geometry
from raygrad._cockpit.commands import history as history
from raygrad._cockpit.commands import landscape as landscape
from raygrad._cockpit.commands import looking as looking
from raygrad._cockpit.commands import masks as masks
from raygrad._cockpit.commands import moving as moving
from raygrad._cockpit.commands import pointing as pointing
from raygrad._cockpit.commands import registering as registering
from raygrad._cockpit.commands import snapshots as snapshots
from raygrad._cockpit.commands import sweep as sweep
