"""How a registration goes downhill: minimisers of many problems at once, and which candidates go on."""
