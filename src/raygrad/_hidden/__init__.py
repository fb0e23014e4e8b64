"""What of an X-ray does not count, by the picture itself."""

from raygrad._hidden.hidden import Hidden as Hidden
from raygrad._hidden.hidden import hidden_in as hidden_in
from raygrad._hidden.hidden import hidden_in_array as hidden_in_array
