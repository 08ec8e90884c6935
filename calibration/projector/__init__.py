"""The projector in torch: its layers, its units and its losses."""
